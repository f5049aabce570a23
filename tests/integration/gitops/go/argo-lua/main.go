// Command argo-lua runs a script of Argo CD in the Lua machine that Argo CD uses, with the libraries that it opens
// there (util/lua/lua.go of its version 3): one JSON object a line in, what the script returns out, one a line.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"time"

	lua "github.com/yuin/gopher-lua"
	luajson "layeh.com/gopher-json"
)

const (
	longestLine = 1 << 20
	// Argo CD allows a second; a busy machine may need more for nothing.
	longestRun = 10 * time.Second
)

func main() {
	script, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, longestLine)
	for lines.Scan() {
		answer, err := run(string(script), lines.Bytes())
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(string(answer))
	}
	if err := lines.Err(); err != nil {
		log.Fatal(err)
	}
}

func run(script string, object []byte) ([]byte, error) {
	machine := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer machine.Close()
	for _, library := range []struct {
		name string
		open lua.LGFunction
	}{
		{lua.LoadLibName, lua.OpenPackage},
		{lua.BaseLibName, lua.OpenBase},
		{lua.TabLibName, lua.OpenTable},
	} {
		machine.Push(machine.NewFunction(library.open))
		machine.Push(lua.LString(library.name))
		machine.Call(1, 0)
	}
	limit, cancel := context.WithTimeout(context.Background(), longestRun)
	defer cancel()
	machine.SetContext(limit)
	var value any
	if err := json.Unmarshal(object, &value); err != nil {
		return nil, err
	}
	machine.SetGlobal("obj", luajson.DecodeValue(machine, value))
	if err := machine.DoString(script); err != nil {
		return nil, err
	}
	return luajson.Encode(machine.Get(-1))
}
