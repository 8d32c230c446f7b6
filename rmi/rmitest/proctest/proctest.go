// Package proctest runs programs for tests that need processes of their own: to kill them, to stop
// them, or to read what they print.
//
//	server := proctest.Start(t, proctest.Command(ctx, path, "-registry", at))
//	address := server.Says("listening on ")
//	server.Kill()
package proctest

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"
)

// Process is a program whose standard output is read line by line. It ends with the test
// at the latest.
type Process struct {
	*exec.Cmd
	// Stdin ends when it is closed, or when the test's process ends. It is nil if the command has
	// an input of its own.
	Stdin io.WriteCloser
	// Seen are the lines that were read.
	Seen  []string
	t     testing.TB
	lines *bufio.Scanner
	log   log
}

// log is what a program wrote to standard error; safe for concurrent use.
type log struct {
	mu   sync.Mutex
	text strings.Builder
	more chan struct{} // closed with the next write; nil: nobody waits
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.more != nil {
		close(l.more)
		l.more = nil
	}
	return l.text.Write(p)
}

// lacks returns a channel that is closed when more was written, or nil if text was.
func (l *log) lacks(text string) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if strings.Contains(l.text.String(), text) {
		return nil
	}
	if l.more == nil {
		l.more = make(chan struct{})
	}
	return l.more
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Build compiles packages with the race detector and the tags of this executable, and returns the
// folder where their programs are.
func Build(t testing.TB, packages ...string) (dir string) {
	t.Helper()
	dir = t.TempDir() + string(os.PathSeparator)
	args := []string{"build", "-o", dir}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "-race" || s.Key == "-tags" {
				args = append(args, s.Key+"="+s.Value)
			}
		}
	}
	args = append(args, packages...)
	if out, err := exec.CommandContext(t.Context(), "go", args...).CombinedOutput(); err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return dir
}

// Command prepares a program that is killed when ctx ends.
func Command(ctx context.Context, path string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE")) // else -race delays its end by a second
	return cmd
}

// Self prepares a process that runs one test of this executable. env are variables ("NAME=value")
// by which that test knows its role. Standard error is that of this process.
func Self(test string, env ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "-test.run=^"+test+"$", "-test.count=1")
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	return cmd
}

// Start starts a prepared program. If the command does not say where its standard error goes, Log
// returns it, and it is printed if the test fails.
func Start(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{Cmd: cmd, t: t}
	if cmd.Stderr == nil {
		cmd.Stderr = &p.log
	}
	var err error
	if cmd.Stdin == nil {
		if p.Stdin, err = cmd.StdinPipe(); err != nil {
			t.Fatal(err)
		}
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.lines = bufio.NewScanner(out)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		if text := p.Log(); t.Failed() && text != "" {
			t.Logf("%q wrote:\n%s", cmd.Args, text)
		}
	})
	return p
}

// Next returns the next line, or false at the end of the output.
func (p *Process) Next() (line string, ok bool) {
	if !p.lines.Scan() {
		return "", false
	}
	p.Seen = append(p.Seen, p.lines.Text())
	return p.lines.Text(), true
}

// Line returns the next line. The test fails if there is none.
func (p *Process) Line() string {
	p.t.Helper()
	line, ok := p.Next()
	if !ok {
		p.ended("another line")
	}
	return line
}

// Says waits for a line that begins with prefix, and returns the rest of it. The test fails
// if the output ends before.
func (p *Process) Says(prefix string) string {
	p.t.Helper()
	for {
		line, ok := p.Next()
		if !ok {
			p.ended(prefix)
		}
		if rest, ok := strings.CutPrefix(line, prefix); ok {
			return rest
		}
	}
}

// Logs waits until standard error contains text, as Log returns it. The test fails if that takes
// more than a minute.
func (p *Process) Logs(text string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	for more := p.log.lacks(text); more != nil; more = p.log.lacks(text) {
		select {
		case <-more:
		case <-ctx.Done():
			p.t.Fatalf("the log does not say %q: %s", text, p.Log())
		}
	}
}

// Match waits for a line that matches a regular expression, and returns its last group, or the
// match if it has none. The test fails if the output ends before.
func (p *Process) Match(pattern string) string {
	p.t.Helper()
	for want := regexp.MustCompile(pattern); ; {
		line, ok := p.Next()
		if !ok {
			p.ended(pattern)
		}
		if m := want.FindStringSubmatch(line); m != nil {
			return m[len(m)-1]
		}
	}
}

func (p *Process) ended(before string) {
	p.t.Helper()
	p.Kill()
	p.t.Fatalf("the output ended before %q: %v, %v; it was %q", before, p.lines.Err(), p.ProcessState, p.Seen)
}

// End reads what is left of the output, waits for the program's end and returns its status.
func (p *Process) End() (status int) {
	p.t.Helper()
	for ok := true; ok; {
		_, ok = p.Next()
	}
	return Status(p.t, p.Wait())
}

// Status returns the exit status of a command whose Wait returned err. The test fails if err is of
// another kind.
func Status(t testing.TB, err error) int {
	t.Helper()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	if err != nil {
		t.Error(err)
	}
	return 0
}

// Interrupt sends Ctrl-C and returns the status with which the program ends. Windows cannot send
// that to one process.
func (p *Process) Interrupt() (status int) {
	p.t.Helper()
	if err := p.Process.Signal(os.Interrupt); err != nil {
		p.t.Fatal(err)
	}
	return p.End()
}

// Log returns what the program wrote to standard error. It is whole after End or Kill.
func (p *Process) Log() string { return p.log.String() }

// Kill ends the process as kill -9 does, and returns when it is gone. It has no effect on a
// process that has ended.
func (p *Process) Kill() {
	_ = p.Process.Kill()
	_ = p.Wait()
}
