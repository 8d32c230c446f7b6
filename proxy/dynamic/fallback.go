//go:build !gc || !(amd64 || arm64) || rmi_safe

package dynamic

import (
	"reflect"
	"runtime"
)

// Supported returns the reason why New does not work in this build. The error wraps
// errors.ErrUnsupported and names the alternatives.
func Supported() error {
	if runtime.Compiler == "gc" && (runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64") {
		return unsupported("this program was built with the tag rmi_safe")
	}
	return unsupported("there is no code for " + runtime.GOARCH + " compiled by " + runtime.Compiler)
}

// New returns the error of Supported.
func New(reflect.Type, Dispatcher) (reflect.Value, error) { return reflect.Value{}, Supported() }

// DispatcherOf returns false: there are no proxies.
func DispatcherOf(any) (Dispatcher, bool) { return nil, false }
