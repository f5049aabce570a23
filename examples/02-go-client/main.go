// Command go-client asks a model that takes texts over gRPC, by the Open Inference Protocol: any server of the
// protocol can answer it. The package inference is generated from the protocol's .proto file.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"modelservice.dev/examples/go-client/inference"
)

// A prediction changes nothing on the server, so asking again is safe. UNAVAILABLE is what a server says that
// is about to leave, and what there is while none listens.
const retryUnavailable = `{"methodConfig": [{
	"name": [{"service": "inference.GRPCInferenceService"}],
	"retryPolicy": {
		"maxAttempts": 4, "initialBackoff": "0.1s", "maxBackoff": "2s", "backoffMultiplier": 3,
		"retryableStatusCodes": ["UNAVAILABLE"]
	}
}]}`

func main() {
	address := flag.String("address", "127.0.0.1:9000", "`host:port` where the server speaks gRPC")
	model := flag.String("model", "spam", "`name` of the model")
	timeout := flag.Duration("timeout", 10*time.Second, "`time` for everything, such as 500ms")
	flag.Usage = usage
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(os.Stdout, *address, *model, *timeout, flag.Args()); err != nil {
		fmt.Fprintf(os.Stderr, "go-client: %v\n", err)
		if advice := advise(err); advice != "" {
			fmt.Fprintln(os.Stderr, advice)
		}
		os.Exit(1)
	}
}

func usage() {
	fmt.Fprintln(flag.CommandLine.Output(), "usage: go-client [flags] TEXT...")
	flag.PrintDefaults()
}

// run writes the model's signature, and then a line for each text.
func run(out io.Writer, address, model string, timeout time.Duration, texts []string) error {
	// Ctrl-C cancels the calls. The deadline travels with each of them: the server stops a model that nobody
	// waits for any more.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	connection, err := grpc.NewClient(address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(retryUnavailable))
	if err != nil {
		return fmt.Errorf("use the address %q: %w", address, err)
	}
	defer connection.Close()
	client := inference.NewGRPCInferenceServiceClient(connection)

	if err := checkReady(ctx, client); err != nil {
		return fmt.Errorf("ask %s whether it is ready: %w", address, err)
	}
	metadata, err := client.ModelMetadata(ctx, &inference.ModelMetadataRequest{Name: model})
	if err != nil {
		return fmt.Errorf("read the metadata of %q: %w", model, err)
	}
	printMetadata(out, metadata)
	answers, err := classify(ctx, client, model, texts)
	if err != nil {
		return fmt.Errorf("ask %q: %w", model, err)
	}
	for i, answer := range answers {
		fmt.Fprintf(out, "%s %.3f %q\n", answer.label, answer.probability, texts[i])
	}
	return nil
}

func checkReady(ctx context.Context, client inference.GRPCInferenceServiceClient) error {
	response, err := client.ServerReady(ctx, &inference.ServerReadyRequest{})
	if err != nil {
		return err
	}
	if !response.GetReady() {
		return errors.New("not ready: it is loading its models, or about to leave")
	}
	return nil
}

func printMetadata(out io.Writer, metadata *inference.ModelMetadataResponse) {
	fmt.Fprintf(out, "model %s %v %s\n", metadata.GetName(), metadata.GetVersions(), metadata.GetPlatform())
	for _, tensor := range metadata.GetInputs() {
		fmt.Fprintf(out, "input %s %s %v\n", tensor.GetName(), tensor.GetDatatype(), tensor.GetShape())
	}
	for _, tensor := range metadata.GetOutputs() {
		fmt.Fprintf(out, "output %s %s %v\n", tensor.GetName(), tensor.GetDatatype(), tensor.GetShape())
	}
}

// advise says what one can do about an error of a call. The server's own sentence, which names the input that
// is wrong, is part of the error.
func advise(err error) string {
	switch status.Code(err) { // looks through %w
	case codes.Unavailable:
		return "Is this the server's gRPC port, and does it want TLS?"
	case codes.DeadlineExceeded:
		return "Give it more time with -timeout."
	case codes.ResourceExhausted:
		return "Send less at once, or come back later: the server has too many requests, or this one is too large."
	default:
		return ""
	}
}
