package fault_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"

	"gormi/rmi/fault"
)

// However a program passes a private error on, as long as it wraps it, nothing of it is left.
func TestPublicErrorsSayNothingPrivate(t *testing.T) {
	for name, dial := range map[string]*fault.Error{
		"refused": fault.New(fault.KindConnectFailed, fault.OutcomeNotExecuted, "nobody listens, SECRET: %w", syscall.ECONNREFUSED),
		"banner":  fault.New(fault.KindProtocol, fault.OutcomeNotExecuted, "it sent SECRET"),
		"cause":   fault.Add(nil, fault.KindConnectFailed, fault.OutcomeNotExecuted, fault.Cause(errors.New("SECRET"))),
	} {
		private := fault.Add(dial, fault.Op("call"), fault.Private)
		alike := ""
		for wrapped, err := range map[string]error{
			"itself":  private,
			"wrapped": fmt.Errorf("calling back: %w", private),
			"joined":  errors.Join(io.EOF, fmt.Errorf("a: %w", private)),
			"twice":   fmt.Errorf("b: %w", fmt.Errorf("a: %w", private)),
			"fault":   fault.New(fault.KindApplication, fault.OutcomeExecuted, "it failed: %w", private),
			"added":   fault.Add(nil, fault.KindApplication, fault.Cause(private)),
		} {
			p := fault.Public(err)
			if strings.Contains(p.Error(), "SECRET") || errors.Is(p, syscall.ECONNREFUSED) || errors.Is(p, fault.KindProtocol) {
				t.Errorf("%s, %s: %v", name, wrapped, p)
			}
			if !strings.Contains(p.Error(), "could not connect") || !errors.Is(p, fault.KindConnectFailed) {
				t.Errorf("%s, %s: %v does not say what happened", name, wrapped, p)
			}
			if wrapped == "itself" {
				alike = p.Error()
			}
			if !strings.Contains(err.Error(), "SECRET") {
				t.Errorf("%s, %s: %v: the program does not see it", name, wrapped, err)
			}
		}
		if want := fault.Public(fault.Add(fault.New(fault.KindConnectFailed, fault.OutcomeNotExecuted, "x"), fault.Op("call"), fault.Private)).Error(); alike != want {
			t.Errorf("%s: %q differs from another failure, %q", name, alike, want)
		}
	}
	plain := fmt.Errorf("a: %w", io.EOF)
	if fault.Public(plain) != plain || fault.Public(nil) != nil {
		t.Error("an error without private parts changed")
	}
	if p := fault.Public(errors.Join(io.EOF, fault.Add(nil, fault.Private))); !errors.Is(p, io.EOF) {
		t.Error("what was joined is lost")
	}
}
