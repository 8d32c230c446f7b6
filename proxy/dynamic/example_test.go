//go:build gc && (amd64 || arm64) && !rmi_safe

package dynamic_test

import (
	"fmt"
	"reflect"

	"gormi/proxy/dynamic"
)

// printer writes the calls that it gets.
type printer struct{ t reflect.Type }

func (p *printer) Dispatch(method int, args []reflect.Value) []reflect.Value {
	m := p.t.Method(method)
	fmt.Print(m.Name)
	for _, a := range args {
		fmt.Print(" ", a)
	}
	fmt.Println()
	results := make([]reflect.Value, m.Type.NumOut())
	for i := range results {
		results[i] = reflect.Zero(m.Type.Out(i))
	}
	return results
}

func ExampleNew() {
	type Greeter interface {
		Greet(name string, times int) error
		Leave()
	}
	t := reflect.TypeFor[Greeter]()
	v, err := dynamic.New(t, &printer{t})
	if err != nil {
		fmt.Println(err)
		return
	}
	g := v.Interface().(Greeter)
	fmt.Println(g.Greet("Ada", 2))
	g.Leave()
	// Output:
	// Greet Ada 2
	// <nil>
	// Leave
}
