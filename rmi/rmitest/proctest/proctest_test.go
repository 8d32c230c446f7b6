package proctest

import (
	"fmt"
	"io"
	"os"
	"testing"
)

// TestProgram is no test: it is the program of the test below.
func TestProgram(t *testing.T) {
	if os.Getenv("PROCTEST_PROGRAM") == "" {
		t.Skip("started by another test")
	}
	fmt.Println("first\nready at 7\nready at 8")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func TestAProcessIsReadUpToALineAndKilled(t *testing.T) {
	p := Start(t, Self("TestProgram", "PROCTEST_PROGRAM=1"))
	for _, want := range []string{"7", "8"} {
		if got := p.Says("ready at "); got != want {
			t.Errorf("it is ready at %q, want %q", got, want)
		}
	}
	p.Kill()
	if p.ProcessState == nil || p.ProcessState.Success() {
		t.Errorf("it ended with %v", p.ProcessState)
	}
	p.Kill()
}

func TestAProcessIsReadToItsEnd(t *testing.T) {
	p := Start(t, Self("TestProgram", "PROCTEST_PROGRAM=1"))
	if got := p.Line(); got != "first" {
		t.Errorf("the first line is %q", got)
	}
	if got := p.Match(`^ready at (\d)$`); got != "7" {
		t.Errorf("it is ready at %q, want 7", got)
	}
	p.Stdin.Close()
	if got := p.End(); got != 0 {
		t.Errorf("it ended with status %d", got)
	}
	if len(p.Seen) < 3 || p.Seen[2] != "ready at 8" {
		t.Errorf("it said %q", p.Seen)
	}
}
