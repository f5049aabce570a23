// Command health says what Flux says of objects: expressions as its argument, one JSON object a line in, one status a
// line out. It is the code by which kustomize-controller evaluates healthCheckExprs.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"

	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const longestLine = 1 << 20

func main() {
	var expressions kustomize.HealthCheckExpressions
	if err := json.Unmarshal([]byte(os.Args[1]), &expressions); err != nil {
		log.Fatal(err)
	}
	evaluator, err := cel.NewStatusEvaluator(&expressions)
	if err != nil {
		log.Fatal(err)
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, longestLine)
	for lines.Scan() {
		var object unstructured.Unstructured
		if err := object.UnmarshalJSON(lines.Bytes()); err != nil {
			log.Fatal(err)
		}
		result, err := evaluator.Evaluate(context.Background(), &object)
		if err != nil {
			// Flux logs it and looks again.
			fmt.Printf("Unknown\t%s\n", err)
			continue
		}
		fmt.Println(result.Status)
	}
	if err := lines.Err(); err != nil {
		log.Fatal(err)
	}
}
