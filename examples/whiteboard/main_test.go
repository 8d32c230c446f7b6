package main

import (
	"context"
	"errors"
	"net/http"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"gormi/registry"
	"gormi/rmi"
	"gormi/rmi/rmitest/proctest"
)

// asProgram makes the test's executable the whiteboard.
const asProgram = "GORMI_WHITEBOARD"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// start runs a whiteboard as a process of its own.
func start(ctx context.Context, t *testing.T, args ...string) *proctest.Process {
	t.Helper()
	cmd := proctest.Command(ctx, os.Args[0], args...)
	cmd.Env = append(cmd.Env, asProgram+"=1")
	return proctest.Start(t, cmd)
}

// TestProgram is the program without a role, with a second gateway, ended by Ctrl-C while pages are
// open.
func TestProgram(t *testing.T) {
	ctx := patient(t)
	all := start(ctx, t, "-http", "127.0.0.1:0")
	at := all.Match(`-role gateway -registry (rmi://127\.0\.0\.1:\d+)$`)
	page := all.Match(`^the whiteboard is at (http://127\.0\.0\.1:\d+/), Ctrl-C ends$`)
	answer, err := http.Get(page)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != 200 || !strings.HasPrefix(answer.Header.Get("Content-Type"), "text/html") {
		t.Errorf("the page is %s, %s", answer.Status, answer.Header.Get("Content-Type"))
	}
	gateway := start(ctx, t, "-role", "gateway", "-registry", at+"/", "-http", "localhost:0")
	first, second := watchAt(ctx, t, page), watchAt(ctx, t, gateway.Match(`^the whiteboard is at (http://.*/), Ctrl-C ends$`))
	first.untilShapes()
	second.untilShapes()

	node := rmi.NewNode(nil)
	defer node.Close()
	list, err := registry.Lookup[ShapeList](ctx, node, at+"/whiteboard", nil)
	if err != nil {
		t.Fatal(err)
	}
	draw(ctx, t, list, line(1, 2, 3, 4)) // a client need not be a gateway
	first.until("it shows the line", func() bool { return len(first.ids) == 1 })
	second.untilShapes(first.ids...)

	if runtime.GOOS == "windows" {
		return // it has no way to send Ctrl-C to one process
	}
	for _, p := range []*proctest.Process{all, gateway} {
		if status := p.Interrupt(); status != 0 || p.Log() != "" {
			t.Errorf("%q after Ctrl-C: status %d\n%s", p.Args[1:], status, p.Log())
		}
	}
}

// TestServerKilled: a gateway finds the next server, which takes over the name of the one that was
// killed.
func TestServerKilled(t *testing.T) {
	s := newStage(t)
	if err := s.server.shutdown(); err != nil {
		t.Fatal(err)
	}
	p := s.watch(s.web)
	for range 2 {
		server := start(s.ctx, t, "-role", "server", "-registry", s.at)
		server.Match("is bound, Ctrl-C ends$")
		p.untilShapes()
		p.untilShapes(s.draw())
		if err := server.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		p.until("the server is lost", func() bool { return !p.now.Online })
	}
	if runtime.GOOS == "windows" {
		return
	}
	server := start(s.ctx, t, "-role", "server", "-registry", s.at)
	server.Match("is bound, Ctrl-C ends$")
	if err := server.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if status := server.End(); status != 0 || server.Log() != "" {
		t.Errorf("the server's status is %d\n%s", status, server.Log())
	}
	if _, err := registry.LookupRef(s.ctx, s.web.gateway.node, s.at+"/whiteboard"); !errors.Is(err, rmi.KindNotBound) {
		t.Errorf("after the server's end, a lookup gives %v, want NotBound", err)
	}
}

func TestMistakes(t *testing.T) {
	ctx := patient(t)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"nonsense"}, `"nonsense" is no argument`},
		{[]string{"-role", "other"}, `-role is "other"`},
		{[]string{"-http", "0.0.0.0:0"}, "on this machine only"},
		{[]string{"-http", "8100"}, "want HOST:PORT"},
		{[]string{"-role", "server", "-registry", "http://localhost"}, "http://localhost"},
		{[]string{"-role", "gateway", "-registry", "http://localhost", "-http", "127.0.0.1:0"}, "http://localhost"},
	} {
		p := start(ctx, t, c.args...)
		if status := p.End(); status != 1 || !strings.Contains(p.Log(), c.want) || strings.Count(p.Log(), "\n") != 1 {
			t.Errorf("whiteboard %q: status %d, log %q, want 1 and a line with %q", c.args, status, p.Log(), c.want)
		}
	}
}
