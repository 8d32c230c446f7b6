package main

import (
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"testing"
	"time"

	"gormi/registry"
	"gormi/rmi"
	"gormi/rmi/rmitest/proctest"
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

// patient bounds every test of programs. When it ends the programs are killed, and what waits for
// their output fails.
func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// command is the chat with arguments.
func command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := proctest.Command(ctx, os.Args[0], args...)
	cmd.Env = append(cmd.Env, asProgram+"=1", registry.Env+"=", "TERM=xterm")
	return cmd
}

// process is a chat on pipes.
type process struct {
	*proctest.Process
	t *testing.T
}

func start(ctx context.Context, t *testing.T, args ...string) *process {
	t.Helper()
	return &process{proctest.Start(t, command(ctx, args...)), t}
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
	if _, err := io.WriteString(p.Stdin, line+"\n"); err != nil {
		p.t.Fatal(err)
	}
}

// expect reads the next line, which must match.
func (p *process) expect(want string) string {
	p.t.Helper()
	got := p.Line()
	if !regexp.MustCompile(want).MatchString(got) {
		p.t.Fatalf("got the line %q, want one like %q, in %q", got, want, p.Seen)
	}
	return got
}

// ends closes the input and sees that the program ends in good order.
func (p *process) ends() {
	p.t.Helper()
	p.Stdin.Close()
	if got := p.End(); got != 0 {
		p.t.Errorf("status %d at the end of the input, want 0", got)
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
