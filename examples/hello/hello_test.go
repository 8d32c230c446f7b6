package hello_test

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"gormi/examples/hello"
	"gormi/registry"
	"gormi/rmi"
)

// build compiles the two programs, with the build tags of this test, and returns where they are.
func build(t *testing.T) (server, client string) {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("the go command is needed to build the programs: ", err)
	}
	args := []string{"build"}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "-tags" || s.Key == "-race" {
				args = append(args, s.Key+"="+s.Value)
			}
		}
	}
	dir := t.TempDir()
	args = append(args, "-o", dir+string(filepath.Separator), "./server", "./client")
	if out, err := exec.CommandContext(t.Context(), "go", args...).CombinedOutput(); err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	exe := ""
	if runtime.GOOS == "windows" {
		exe = ".exe"
	}
	return filepath.Join(dir, "server"+exe), filepath.Join(dir, "client"+exe)
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

// program is a process whose standard output is read line by line.
type program struct {
	*exec.Cmd
	t     *testing.T
	lines *bufio.Scanner
	log   strings.Builder // what it wrote to standard error; read after Wait
}

func start(ctx context.Context, t *testing.T, path string, args ...string) *program {
	t.Helper()
	p := &program{Cmd: exec.CommandContext(ctx, path, args...), t: t}
	p.Stderr = &p.log
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.lines = bufio.NewScanner(out)
	p.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE")) // else -race delays its end by a second
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Process.Kill()
		p.Wait()
	})
	return p
}

// expect reads the next line.
func (p *program) expect(want string) {
	p.t.Helper()
	if !p.lines.Scan() {
		err := p.Wait()
		p.t.Fatalf("want the line %q, but the output ended: %v\n%s", want, err, p.log.String())
	}
	if got := p.lines.Text(); got != want {
		p.t.Fatalf("got the line %q, want %q", got, want)
	}
}

// end waits for the program's end and returns its status.
func (p *program) end() int {
	p.t.Helper()
	for p.lines.Scan() {
	}
	err := p.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	if err != nil {
		p.t.Error(err)
	}
	return 0
}

func TestPrograms(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	serverPath, clientPath := build(t)
	at := serveRegistry(t)

	// No server yet.
	early := start(ctx, t, clientPath, "-registry", at)
	if status := early.end(); status != 1 || !strings.Contains(early.log.String(), "not bound") {
		t.Errorf("the client without a server: status %d, log %q, want 1 and that the name is not bound", status, early.log.String())
	}

	server := start(ctx, t, serverPath, "-registry", at)
	server.expect(at + "/hello is bound, Ctrl-C ends")

	watcher := start(ctx, t, clientPath, "-registry", at+"/", "-name", "Ada", "-watch")
	watcher.expect("the greeter calls back: it greets Ada")
	watcher.expect("Hello, Ada!")

	client := start(ctx, t, clientPath, "-registry", at)
	client.expect("the greeter calls back: it greets world")
	client.expect("Hello, world!")
	if status := client.end(); status != 0 {
		t.Errorf("client: status %d\n%s", status, client.log.String())
	}

	watcher.expect("the greeter calls back: it greets world")
	if runtime.GOOS == "windows" {
		return // it has no way to send Ctrl-C to one process
	}
	for _, p := range []*program{watcher, server} {
		if err := p.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if status := p.end(); status != 0 {
			t.Errorf("%s after Ctrl-C: status %d\n%s", p.Path, status, p.log.String())
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
