//go:build gc && (amd64 || arm64) && !rmi_safe

package dynamic_test

import (
	"reflect"
	"testing"

	"gormi/proxy/dynamic"
)

// BenchmarkCall measures a call of a proxy, and next to it the call of a function made by
// reflect.MakeFunc, which is most of it.
func BenchmarkCall(b *testing.B) {
	nothing := func(int, []reflect.Value) []reflect.Value { return nil }
	deposited := values(1, nil)
	b.Run("nothing", func(b *testing.B) {
		p := newProxy[interface{ Run() }](b, dispatcher(nothing))
		b.ReportAllocs()
		for b.Loop() {
			p.Run()
		}
	})
	b.Run("deposit", func(b *testing.B) {
		p := newProxy[account](b, dispatcher(func(int, []reflect.Value) []reflect.Value { return deposited }))
		b.ReportAllocs()
		for b.Loop() {
			p.Deposit(1)
		}
	})
	b.Run("makefunc", func(b *testing.B) {
		f := reflect.MakeFunc(reflect.TypeFor[func(int) (int, error)](),
			func([]reflect.Value) []reflect.Value { return deposited }).Interface().(func(int) (int, error))
		b.ReportAllocs()
		for b.Loop() {
			f(1)
		}
	})
}

func BenchmarkDispatcherOf(b *testing.B) {
	for name, v := range map[string]any{
		"proxy":   newProxy[account](b, new(ledger)),
		"pointer": new(ledger),
		"struct":  struct{ a, b, c, d, e int }{},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				dynamic.DispatcherOf(v)
			}
		})
	}
}

func BenchmarkNew(b *testing.B) {
	t, d := reflect.TypeFor[account](), new(ledger)
	b.ReportAllocs()
	for b.Loop() {
		dynamic.New(t, d)
	}
}
