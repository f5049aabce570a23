package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"

	"modelservice.dev/examples/go-client/inference"
)

// answer is what the model says about one text.
type answer struct {
	label       string
	probability float32
}

// classify sends the texts as one tensor and returns an answer for each, in their order.
func classify(
	ctx context.Context, client inference.GRPCInferenceServiceClient, model string, texts []string,
) ([]answer, error) {
	response, err := client.ModelInfer(ctx, &inference.ModelInferRequest{
		ModelName: model,
		Inputs: []*inference.ModelInferRequest_InferInputTensor{
			{Name: "text", Datatype: "BYTES", Shape: []int64{int64(len(texts))}},
		},
		Outputs: []*inference.ModelInferRequest_InferRequestedOutputTensor{
			{Name: "label"}, {Name: "probability"},
		},
		RawInputContents: [][]byte{encodeStrings(texts)},
	})
	if err != nil {
		return nil, err
	}
	return readAnswers(response, len(texts))
}

func readAnswers(response *inference.ModelInferResponse, count int) ([]answer, error) {
	raw, err := rawOutput(response, "label", "BYTES")
	if err != nil {
		return nil, err
	}
	labels, err := decodeStrings(raw)
	if err != nil {
		return nil, err
	}
	raw, err = rawOutput(response, "probability", "FP32")
	if err != nil {
		return nil, err
	}
	probabilities, err := decodeFloats(raw)
	if err != nil {
		return nil, err
	}
	if len(labels) != count || len(probabilities) != count {
		return nil, fmt.Errorf("%d labels and %d probabilities for %d texts",
			len(labels), len(probabilities), count)
	}
	answers := make([]answer, count)
	for i := range answers {
		answers[i] = answer{labels[i], probabilities[i]}
	}
	return answers, nil
}

// rawOutput returns the bytes of an output: raw contents stand in the order of the outputs.
func rawOutput(response *inference.ModelInferResponse, name, datatype string) ([]byte, error) {
	contents := response.GetRawOutputContents()
	for i, output := range response.GetOutputs() {
		if output.GetName() != name {
			continue
		}
		if output.GetDatatype() != datatype || i >= len(contents) {
			return nil, fmt.Errorf("output %q is not raw %s", name, datatype)
		}
		return contents[i], nil
	}
	return nil, fmt.Errorf("no output %q", name)
}

// encodeStrings writes a BYTES tensor: each element is its length as a little-endian uint32, then its bytes.
func encodeStrings(values []string) []byte {
	var raw []byte
	for _, value := range values {
		raw = binary.LittleEndian.AppendUint32(raw, uint32(len(value)))
		raw = append(raw, value...)
	}
	return raw
}

func decodeStrings(raw []byte) ([]string, error) {
	var values []string
	for len(raw) > 0 {
		if len(raw) < 4 {
			return nil, fmt.Errorf("a BYTES tensor ends inside a length: %d bytes are left", len(raw))
		}
		length := uint64(binary.LittleEndian.Uint32(raw))
		raw = raw[4:]
		if length > uint64(len(raw)) {
			return nil, fmt.Errorf("a BYTES element of %d bytes, but %d are left", length, len(raw))
		}
		values = append(values, string(raw[:length]))
		raw = raw[length:]
	}
	return values, nil
}

// decodeFloats reads an FP32 tensor: little-endian, row-major.
func decodeFloats(raw []byte) ([]float32, error) {
	if len(raw)%4 != 0 {
		return nil, fmt.Errorf("an FP32 tensor of %d bytes", len(raw))
	}
	values := make([]float32, len(raw)/4)
	for i := range values {
		values[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return values, nil
}
