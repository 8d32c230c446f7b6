package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"gormi/registry"
	"gormi/rmi"
)

// asProgram makes the test's executable, and those that it starts anew, the chat.
const asProgram = "GORMI_CHAT"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// patient bounds every test of programs: when it ends they are killed, and what waits for their output fails.
func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// command is the chat with arguments.
func command(ctx context.Context, t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), asProgram+"=1", registry.Env+"=", "TERM=xterm",
		"GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE")) // else the race detector delays each process's end by a second
	return cmd
}

// process is a chat on pipes.
type process struct {
	*exec.Cmd
	t     *testing.T
	stdin io.WriteCloser
	lines *bufio.Scanner
	log   strings.Builder // what it wrote to standard error; read after Wait
	seen  []string
}

func start(ctx context.Context, t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{Cmd: command(ctx, t, args...), t: t}
	p.Stderr = &p.log
	var err error
	if p.stdin, err = p.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.lines = bufio.NewScanner(out)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Process.Kill()
		p.Wait()
	})
	return p
}

// enter starts a client and waits until it is in the room.
func enter(ctx context.Context, t *testing.T, at, name, room string) *process {
	t.Helper()
	p := start(ctx, t, "-role", "client", "-registry", at, "-name", name, "-room", room)
	p.expect(`^\* you are ` + name + ` in ` + room)
	p.expect(`^\* /help lists`)
	return p
}

// say types a line.
func (p *process) say(line string) {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, line+"\n"); err != nil {
		p.t.Fatal(err)
	}
}

// expect reads the next line, which must match.
func (p *process) expect(want string) string {
	p.t.Helper()
	if !p.lines.Scan() {
		err := p.Wait()
		p.t.Fatalf("want a line like %q, but the output ended: %v\n%s\nafter %q", want, err, p.log.String(), p.seen)
	}
	got := p.lines.Text()
	if !regexp.MustCompile(want).MatchString(got) {
		p.t.Fatalf("got the line %q, want one like %q, after %q", got, want, p.seen)
	}
	p.seen = append(p.seen, got)
	return got
}

// end waits for the program's end and returns its status.
func (p *process) end() int {
	p.t.Helper()
	for p.lines.Scan() {
		p.seen = append(p.seen, p.lines.Text())
	}
	return status(p.t, p.Wait())
}

func status(t *testing.T, err error) int {
	t.Helper()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	if err != nil {
		t.Error(err)
	}
	return 0
}

// ends closes the input and sees that the program ends in good order.
func (p *process) ends() {
	p.t.Helper()
	p.stdin.Close()
	if got := p.end(); got != 0 {
		p.t.Errorf("status %d at the end of the input, want 0\n%s", got, p.log.String())
	}
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

// nobody returns the URL of a registry where none is.
func nobody(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "rmi://" + l.Addr().String()
}

// startChat starts a registry and a server, and returns the registry's URL.
func startChat(ctx context.Context, t *testing.T) (at string, server *process) {
	t.Helper()
	at = serveRegistry(t)
	server = start(ctx, t, "-role", "server", "-registry", at)
	server.expect("^" + regexp.QuoteMeta(at) + "/chat is bound, Ctrl-C ends$")
	return at, server
}

// session returns a channel that is closed when the process that serves the chat has ended.
func session(ctx context.Context, t *testing.T, at string) <-chan struct{} {
	t.Helper()
	node := rmi.NewNode(&rmi.Options{SessionLease: patienceForLost})
	t.Cleanup(func() { node.Close() })
	u, err := address(at)
	if err != nil {
		t.Fatal(err)
	}
	c, err := find(ctx, node, u)
	if err != nil {
		t.Fatal(err)
	}
	gone, err := rmi.Gone(c)
	if err != nil {
		t.Fatal(err)
	}
	return gone
}
