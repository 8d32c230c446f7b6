package main

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gormi/registry"
	"gormi/rmi"
	"gormi/rmi/rmitest/proctest"
)

// asProgram makes the test's executable the ticker.
const asProgram = "GORMI_TICKER"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// patience bounds each test: its processes are killed then, which ends what it waits for.
const patience = time.Minute

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

// program is a ticker as a process of its own. What it says is read line by line.
type program struct {
	*proctest.Process
	t *testing.T
}

// command prepares the ticker as a process.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	cmd := proctest.Command(ctx, os.Args[0], args...)
	cmd.Env = append(cmd.Env, asProgram+"=1")
	cmd.Env = slices.DeleteFunc(cmd.Env, func(v string) bool { return strings.HasPrefix(v, registry.Env+"=") })
	return cmd
}

func start(t *testing.T, args ...string) *program {
	t.Helper()
	return &program{proctest.Start(t, command(t, args...)), t}
}

// serve starts a server and returns when its quotes are bound.
func serve(t *testing.T, at string, seed uint64, rate float64) *program {
	t.Helper()
	p := start(t, "-role", "server", "-registry", at, "-seed", strconv.FormatUint(seed, 10), "-rate", strconv.FormatFloat(rate, 'f', -1, 64))
	if line, want := p.Line(), at+"/"+quotes+" is bound, Ctrl-C ends"; line != want {
		t.Fatalf("the server says %q, want %q", line, want)
	}
	return p
}

// interrupt is Ctrl-C, and must end the program with status 0.
func (p *program) interrupt() {
	p.t.Helper()
	if status := p.Interrupt(); status != 0 || p.Log() != "" {
		p.t.Errorf("%q after Ctrl-C: status %d\n%s", p.Args[1:], status, p.Log())
	}
}

// needSignals skips a test where Ctrl-C cannot be sent to one process.
func needSignals(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no way to send Ctrl-C to one process")
	}
}

// said is a line of the plain view.
type said struct {
	what   string // quote, state or gap
	seq    uint64
	symbol string
	price  string
	text   string // of a gap
}

var (
	quoteLine = regexp.MustCompile(`^\d\d:\d\d:\d\d\.\d{3} (quote|state) #(\d+) +([A-Z]+) +(\d+\.\d\d) +[+-]\d+\.\d\d%$`)
	gapLine   = regexp.MustCompile(`^\d\d:\d\d:\d\d\.\d{3} (gap)   (.*)$`)
)

// event reads the next line as the plain view's.
func (p *program) event() said {
	p.t.Helper()
	line := p.Line()
	if m := gapLine.FindStringSubmatch(line); m != nil {
		return said{what: m[1], text: m[2]}
	}
	m := quoteLine.FindStringSubmatch(line)
	if m == nil {
		p.t.Fatalf("%q is no line of the view", line)
	}
	seq, err := strconv.ParseUint(m[2], 10, 64)
	if err != nil {
		p.t.Fatal(err)
	}
	return said{what: m[1], seq: seq, symbol: m[3], price: m[4]}
}
