package main

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"gormi/registry"
	"gormi/rmi"
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

// program is a whiteboard as a process of its own.
type program struct {
	*exec.Cmd
	t     *testing.T
	lines *bufio.Scanner
	log   strings.Builder // what it wrote to standard error; read after end
}

func start(ctx context.Context, t *testing.T, args ...string) *program {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &program{Cmd: exec.CommandContext(ctx, path, args...), t: t}
	p.Env = append(os.Environ(), asProgram+"=1", "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	p.Stderr = &p.log
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

// expect reads up to a line that matches, and returns what its first group is.
func (p *program) expect(pattern string) string {
	p.t.Helper()
	for want := regexp.MustCompile(pattern); p.lines.Scan(); {
		if m := want.FindStringSubmatch(p.lines.Text()); m != nil {
			return m[len(m)-1]
		}
	}
	err := p.Wait()
	p.t.Fatalf("the output ended before %q: %v\n%s", pattern, err, p.log.String())
	return ""
}

// end waits for the end and returns the status.
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

// TestProgram is the program without a role, with a second gateway, ended by Ctrl-C while pages are open.
func TestProgram(t *testing.T) {
	ctx := patient(t)
	all := start(ctx, t, "-http", "127.0.0.1:0")
	at := all.expect(`-role gateway -registry (rmi://127\.0\.0\.1:\d+)$`)
	page := all.expect(`^the whiteboard is at (http://127\.0\.0\.1:\d+/), Ctrl-C ends$`)
	answer, err := http.Get(page)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != 200 || !strings.HasPrefix(answer.Header.Get("Content-Type"), "text/html") {
		t.Errorf("the page is %s, %s", answer.Status, answer.Header.Get("Content-Type"))
	}
	gateway := start(ctx, t, "-role", "gateway", "-registry", at+"/", "-http", "localhost:0")
	first, second := watchAt(ctx, t, page), watchAt(ctx, t, gateway.expect(`^the whiteboard is at (http://.*/), Ctrl-C ends$`))
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
	for _, p := range []*program{all, gateway} {
		if err := p.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if status := p.end(); status != 0 || p.log.Len() > 0 {
			t.Errorf("%q after Ctrl-C: status %d\n%s", p.Args[1:], status, p.log.String())
		}
	}
}

// TestServerKilled: a gateway finds the next server, which takes the name that the one that was killed left behind.
func TestServerKilled(t *testing.T) {
	s := newStage(t)
	if err := s.server.shutdown(); err != nil {
		t.Fatal(err)
	}
	p := s.watch(s.web)
	for range 2 {
		server := start(s.ctx, t, "-role", "server", "-registry", s.at)
		server.expect("is bound, Ctrl-C ends$")
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
	server.expect("is bound, Ctrl-C ends$")
	if err := server.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if status := server.end(); status != 0 || server.log.Len() > 0 {
		t.Errorf("the server's status is %d\n%s", status, server.log.String())
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
		if status := p.end(); status != 1 || !strings.Contains(p.log.String(), c.want) || strings.Count(p.log.String(), "\n") != 1 {
			t.Errorf("whiteboard %q: status %d, log %q, want 1 and a line with %q", c.args, status, p.log.String(), c.want)
		}
	}
}
