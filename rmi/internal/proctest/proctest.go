// Package proctest runs programs for tests that need processes of their own: to kill
// them, to stop them, or to measure them apart.
package proctest

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Process is a program whose standard output is read line by line. It ends with the test
// at the latest.
type Process struct {
	*exec.Cmd
	t     testing.TB
	lines *bufio.Scanner
}

// Self prepares a process that runs one test of this executable, with variables
// ("NAME=value") in its environment that tell the test so.
func Self(test string, env ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "-test.run=^"+test+"$", "-test.count=1")
	cmd.Env = append(os.Environ(), env...)
	return cmd
}

// Start starts a prepared program. Unless the command says otherwise, its standard error is
// that of the test, and its standard input ends when the test's process does.
func Start(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	if cmd.Stderr == nil {
		cmd.Stderr = os.Stderr
	}
	if cmd.Stdin == nil {
		if _, err := cmd.StdinPipe(); err != nil {
			t.Fatal(err)
		}
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &Process{Cmd: cmd, t: t, lines: bufio.NewScanner(out)}
	t.Cleanup(p.Kill)
	return p
}

// Says waits for a line that begins with prefix, and returns the rest of it. The test fails
// if the output ends before.
func (p *Process) Says(prefix string) string {
	p.t.Helper()
	var said []string
	for p.lines.Scan() {
		if rest, ok := strings.CutPrefix(p.lines.Text(), prefix); ok {
			return rest
		}
		said = append(said, p.lines.Text())
	}
	p.t.Fatalf("the process ended before it said %q; it said %q", prefix, said)
	panic("not reached")
}

// Kill ends the process as kill -9 does, and returns when it is gone. It has no effect on a
// process that has ended.
func (p *Process) Kill() {
	_ = p.Process.Kill()
	_ = p.Wait()
}
