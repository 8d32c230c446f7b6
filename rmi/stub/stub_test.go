package stub_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"gormi/rmi/stub"
)

type account interface {
	Deposit(ctx context.Context, cents int64) error
}

func TestRegisteringWhatDoesNotFitPanics(t *testing.T) {
	for name, c := range map[string]struct {
		register func()
		want     string
	}{
		"other methods": {func() { stub.Generated[account]{Methods: []stub.Method{{Name: "Withdraw"}}}.Register() },
			"stub_test.go is stale: stub_test.account has the methods [Deposit], the file was made for [Withdraw]; run rmigen again"},
		"another layout": {func() { stub.StructOf[struct{ A int }]("struct{B}") },
			"stub_test.go is stale: rmi: invalid: struct { A int } travels as struct{A}; the file was made for struct{B}"},
		"another kind": {func() { stub.Plain[int8]("uint8") }, "int8 travels as int8, the file was made for uint8"},
		"no interface": {func() { stub.Register(func(stub.Object) int { return 0 }) }, "int is not an interface"},
	} {
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.Contains(got, c.want) {
					t.Errorf("%s: %q, want %q", name, got, c.want)
				}
			}()
			c.register()
			t.Errorf("%s: registered", name)
		}()
	}
}
