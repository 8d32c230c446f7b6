package rmi_test

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"testing"

	"go.uber.org/goleak"

	"gormi/proxy"
)

func TestMain(m *testing.M) {
	if os.Getenv(benchServerEnv) != "" {
		if err := serveBench(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// proxySupported tells whether interfaces without a stub get proxies here.
func proxySupported() error {
	return proxy.Supported(reflect.TypeFor[interface {
		Probe(context.Context) error
	}]())
}
