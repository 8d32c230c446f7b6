//go:build !gc || !(amd64 || arm64) || rmi_safe

package dynamic_test

import (
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"gormi/proxy/dynamic"
)

type never struct{}

func (never) Dispatch(int, []reflect.Value) []reflect.Value { panic("called") }

func TestErrorNamesTheAlternatives(t *testing.T) {
	v, err := dynamic.New(reflect.TypeFor[io.Reader](), never{})
	if v.IsValid() {
		t.Errorf("New returned %v", v)
	}
	for _, err := range []error{err, dynamic.Supported()} {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Fatalf("the error is %v", err)
		}
		for _, want := range []string{"gormi/cmd/rmigen", "struct of func fields"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not mention %s", err, want)
			}
		}
	}
}

func TestNothingIsAProxy(t *testing.T) {
	for _, v := range []any{nil, never{}, struct{ a, b, c, d, e uintptr }{}} {
		if d, ok := dynamic.DispatcherOf(v); ok || d != nil {
			t.Errorf("DispatcherOf(%v) is %v, %v", v, d, ok)
		}
	}
}
