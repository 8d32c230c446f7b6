package main

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gormi/registry"
	"gormi/rmi"
	"gormi/rmi/rmitest/proctest"
)

// buildServer compiles a program that binds the name "hello"; see examples/hello.
func buildServer(t *testing.T) (path string) {
	path = filepath.Join(t.TempDir(), "server.exe")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "gormi/examples/hello/server").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// startServer runs the program until it has bound its name.
func startServer(t *testing.T, path, at string) *proctest.Process {
	s := proctest.Start(t, proctest.Command(t.Context(), path, "-registry", at))
	s.Line()
	return s
}

type helloFuncs struct {
	Greet func(ctx context.Context, name string) (string, error)
}

func TestAServerThatWasKilledIsStartedAgainAtOnce(t *testing.T) {
	d := start(t, "-addr", "127.0.0.1:0")
	at := "rmi://" + d.addr
	program := buildServer(t)
	first := startServer(t, program, at)
	caller := rmi.NewNode(nil)
	defer caller.Close()
	g, err := registry.Lookup[helloFuncs](t.Context(), caller, at+"/hello", &registry.LookupOptions{Failover: true})
	if err != nil {
		t.Fatal(err)
	}
	if s, err := g.Greet(t.Context(), "you"); err != nil {
		t.Fatal(s, err)
	}
	first.Kill()
	startServer(t, program, at) // binds the name that is bound yet
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	s, err := g.Greet(ctx, "you")
	if rmi.OutcomeOf(err) == rmi.OutcomeUnknown { // the caller had not noticed the end
		s, err = g.Greet(ctx, "you")
	}
	if err != nil || !strings.Contains(s, "you") {
		t.Errorf("got %q, %v", s, err)
	}
}

func TestADaemonThatWasKilledHasItsNamesAgain(t *testing.T) {
	if testing.Short() {
		t.Skip("takes up to 10 s")
	}
	d := start(t, "-addr", "127.0.0.1:0")
	at := "rmi://" + d.addr
	startServer(t, buildServer(t), at)
	d.Kill()
	start(t, "-addr", d.addr)
	caller := rmi.NewNode(nil)
	defer caller.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		_, err := registry.LookupRef(ctx, caller, at+"/hello")
		if err == nil {
			return
		}
		if rmi.KindOf(err) != rmi.KindNotBound {
			t.Fatal(err)
		}
		select {
		case <-ctx.Done():
			t.Fatal("the name is not bound again")
		case <-time.After(100 * time.Millisecond):
		}
	}
}
