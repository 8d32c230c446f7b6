package main

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gormi/registry"
	"gormi/rmi"
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
	*exec.Cmd
	t      *testing.T
	stdout *bufio.Scanner
	stderr errorLog
}

// errorLog is what a program wrote to standard error; safe for concurrent use.
type errorLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *errorLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *errorLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// command prepares the ticker as a process.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), asProgram+"=1",
		"GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE")) // else the race detector delays each process's end by a second
	cmd.Env = slices.DeleteFunc(cmd.Env, func(v string) bool { return strings.HasPrefix(v, registry.Env+"=") })
	return cmd
}

func start(t *testing.T, args ...string) *program {
	t.Helper()
	p := &program{Cmd: command(t, args...), t: t}
	p.Stderr = &p.stderr
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.stdout = bufio.NewScanner(out)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Process.Kill()
		p.Wait()
	})
	return p
}

// serve starts a server and returns when its quotes are bound.
func serve(t *testing.T, at string, seed uint64, rate float64) *program {
	t.Helper()
	p := start(t, "-role", "server", "-registry", at, "-seed", strconv.FormatUint(seed, 10), "-rate", strconv.FormatFloat(rate, 'f', -1, 64))
	if line, want := p.line(), at+"/"+quotes+" is bound, Ctrl-C ends"; line != want {
		t.Fatalf("the server says %q, want %q", line, want)
	}
	return p
}

// line reads the next line.
func (p *program) line() string {
	p.t.Helper()
	if !p.stdout.Scan() {
		p.Process.Kill()
		err := p.Wait()
		p.t.Fatalf("%q said nothing more: %v, %v\n%s", p.Args[1:], p.stdout.Err(), err, p.stderr.String())
	}
	return p.stdout.Text()
}

// end waits for the program's end and returns its status.
func (p *program) end() int {
	p.t.Helper()
	for p.stdout.Scan() {
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

// interrupt is Ctrl-C, and must end the program with status 0.
func (p *program) interrupt() {
	p.t.Helper()
	if err := p.Process.Signal(os.Interrupt); err != nil {
		p.t.Fatal(err)
	}
	if status := p.end(); status != 0 || p.stderr.String() != "" {
		p.t.Errorf("%q after Ctrl-C: status %d\n%s", p.Args[1:], status, p.stderr.String())
	}
}

// kill ends the program as a crash does.
func (p *program) kill() {
	p.t.Helper()
	if err := p.Process.Kill(); err != nil {
		p.t.Fatal(err)
	}
	for p.stdout.Scan() {
	}
	p.Wait() // tells that it was killed
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
	line := p.line()
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
