package hello_test

import (
	"context"
	"errors"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"gormi/examples/hello"
	"gormi/registry"
	"gormi/rmi"
	"gormi/rmi/rmitest/proctest"
)

// build compiles the two programs, with the build tags of this test, and returns where they are.
func build(t *testing.T) (server, client string) {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("the go command is needed to build the programs: ", err)
	}
	dir := proctest.Build(t, "./server", "./client")
	exe := ""
	if runtime.GOOS == "windows" {
		exe = ".exe"
	}
	return dir + "server" + exe, dir + "client" + exe
}

// serveRegistry serves a registry and returns its URL.
func serveRegistry(t *testing.T) string {
	t.Helper()
	node, err := rmi.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { node.Close() })
	if _, err := registry.Serve(t.Context(), node, nil); err != nil {
		t.Fatal(err)
	}
	return "rmi://" + node.Endpoint().String()
}

// start runs a program.
func start(ctx context.Context, t *testing.T, path string, args ...string) *proctest.Process {
	t.Helper()
	return proctest.Start(t, proctest.Command(ctx, path, args...))
}

// expect reads the next line.
func expect(t *testing.T, p *proctest.Process, want string) {
	t.Helper()
	if got := p.Line(); got != want {
		t.Fatalf("got the line %q, want %q", got, want)
	}
}

func TestPrograms(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	serverPath, clientPath := build(t)
	at := serveRegistry(t)

	// No server yet.
	early := start(ctx, t, clientPath, "-registry", at)
	if status := early.End(); status != 1 || !strings.Contains(early.Log(), "not bound") {
		t.Errorf("the client without a server: status %d, log %q, want 1 and that the name is not bound", status, early.Log())
	}

	server := start(ctx, t, serverPath, "-registry", at)
	expect(t, server, at+"/hello is bound, Ctrl-C ends")

	watcher := start(ctx, t, clientPath, "-registry", at+"/", "-name", "Ada", "-watch")
	expect(t, watcher, "the greeter calls back: it greets Ada")
	expect(t, watcher, "Hello, Ada!")

	client := start(ctx, t, clientPath, "-registry", at)
	expect(t, client, "the greeter calls back: it greets world")
	expect(t, client, "Hello, world!")
	if status := client.End(); status != 0 {
		t.Errorf("client: status %d", status)
	}

	expect(t, watcher, "the greeter calls back: it greets world")
	if runtime.GOOS == "windows" {
		return // it has no way to send Ctrl-C to one process
	}
	for _, p := range []*proctest.Process{watcher, server} {
		if status := p.Interrupt(); status != 0 {
			t.Errorf("%s after Ctrl-C: status %d", p.Path, status)
		}
	}
	node := rmi.NewNode(nil)
	defer node.Close()
	if _, err := registry.Lookup[hello.Greeter](ctx, node, at+"/hello", nil); !errors.Is(err, rmi.KindNotBound) {
		t.Errorf("after the server's end, a lookup gives %v, want NotBound", err)
	}
}

func TestName(t *testing.T) {
	for _, c := range []struct{ registry, want string }{
		{"", "hello"},
		{"rmi://localhost:1099", "rmi://localhost:1099/hello"},
		{"rmi://[::1]:1099/", "rmi://[::1]:1099/hello"},
	} {
		if got := hello.Name(c.registry); got != c.want {
			t.Errorf("Name(%q) = %q, want %q", c.registry, got, c.want)
		}
	}
}
