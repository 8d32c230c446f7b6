package main

import (
	"context"
	"io"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"gormi/rmi/rmitest/proctest"
)

// asProgram makes the test's executable, and those that it starts anew, the tour.
const asProgram = "GORMI_TOUR"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// guided is a tour as a process of its own. All processes of the tour have its standard error open,
// so that it ends with the last of them.
type guided struct {
	*proctest.Process
	t    *testing.T
	pids map[string]int
}

func guide(t *testing.T, args ...string) *guided {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	t.Cleanup(cancel)
	cmd := proctest.Command(ctx, os.Args[0], args...)
	cmd.Env = append(cmd.Env, asProgram+"=1")
	return &guided{proctest.Start(t, cmd), t, make(map[string]int)}
}

var said = regexp.MustCompile(`^(\w+) +(\d+) \| +(.*)$`)

// next returns the next line, and who says it if it is not the tour.
func (g *guided) next() (role, line string, ok bool) {
	g.t.Helper()
	if line, ok = g.Next(); !ok {
		return "", "", false
	}
	m := said.FindStringSubmatch(line)
	if m == nil {
		return "", line, true
	}
	pid, err := strconv.Atoi(m[2])
	if err != nil {
		g.t.Fatal(err)
	}
	if known := g.pids[m[1]]; known != 0 && known != pid {
		g.t.Errorf("the %s is process %d, and then %d", m[1], known, pid)
	}
	g.pids[m[1]] = pid
	return m[1], m[3], true
}

// until reads up to a line that begins with prefix.
func (g *guided) until(prefix string) {
	g.t.Helper()
	for {
		_, line, ok := g.next()
		if !ok {
			g.t.Fatalf("the output ended before %q", prefix)
		}
		if strings.HasPrefix(line, prefix) {
			return
		}
	}
}

// end reads what is left, waits until all processes have ended and returns the status and the
// complaints.
func (g *guided) end() (status int, complaints string) {
	g.t.Helper()
	for {
		if _, _, ok := g.next(); !ok {
			break
		}
	}
	return g.End(), g.Log()
}

func TestTour(t *testing.T) {
	t.Parallel()
	g := guide(t)
	// What must be seen, in this order: who says it, and a part of what is said.
	shown := []struct{ role, part string }{
		{"", "1. Three processes"},
		{"registry", "keep names at rmi://127.0.0.1:"},
		{"server", "I listen on 127.0.0.1:"},
		{"client", "I listen nowhere"},
		{"", "2. Bind"},
		{"server", "/bank/alice"},
		{"server", "reference: rmi+ref://127.0.0.1:"},
		{"", "3. Lookup"},
		{"client", "I got an Account"},
		{"", "4. A call"},
		{"client", "I call Deposit(100)"},
		{"server", "Deposit(100) runs here"},
		{"client", "the balance is 100"},
		{"", "5. A struct of functions"},
		{"server", "Deposit(20) runs here"},
		{"client", "the balance is 120"},
		{"", "6. An error"},
		{"server", "Withdraw(1000) runs here"},
		{"client", "1000 of 120: insufficient funds"},
		{"client", "errors.Is(err, errInsufficient) is true; the outcome is Executed"},
		{"", "7. A cancelled call"},
		{"server", "Audit runs here"},
		{"client", "I cancel my context"},
		{"server", "Audit sees that its context ended: context canceled"},
		{"client", "errors.Is(err, context.Canceled) is true"},
		{"client", "why Audit stopped: context canceled"},
		{"", "8. A callback"},
		{"client", "I still listen nowhere"},
		{"server", "no host, no port"},
		{"client", "I call Deposit(50)"},
		{"server", "I call the watcher"},
		{"client", "My function runs here: the balance is 170"},
		{"client", "Deposit returned"},
		{"server", "the subscription is cancelled"},
		{"", "9. Nested callbacks"},
		{"client", "level 1"},
		{"server", "level 2"},
		{"client", "level 3"},
		{"server", "level 4"},
		{"client", "level 5"},
		{"", "10. A cut connection"},
		{"client", "I call Deposit(30)"},
		{"server", "Deposit(30) runs here"},
		{"server", "I call the watcher"},
		{"client", "I cut the cable"},
		{"client", "The answer came over another connection: the balance is 200"},
		{"client", "The balance is 200: the call was executed once"},
		{"", "11. A mismatch"},
		{"client", "Refused"},
		{"client", "the caller has Deposit(string) (string), the owner has Deposit(int64) (int64)"},
		{"", "The end"},
		{"client", "asked to end"},
		{"server", "asked to end"},
		{"registry", "asked to end; names left: 0"},
		{"", "That was the tour."},
	}
	var all []string
	for {
		role, line, ok := g.next()
		if !ok {
			break
		}
		all = append(all, role+": "+line)
		if len(shown) > 0 && role == shown[0].role && strings.Contains(line, shown[0].part) {
			shown = shown[1:]
		}
	}
	status, complaints := g.end()
	if len(shown) > 0 {
		t.Errorf("not shown, or not in this order: %q by %q and what follows it", shown[0].part, shown[0].role)
	}
	if status != 0 || complaints != "" {
		t.Errorf("status %d, complaints %q, want 0 and none", status, complaints)
	}
	if n := strings.Count(strings.Join(all, "\n"), "Deposit(30) runs here"); n != 1 {
		t.Errorf("the call whose connection was cut ran %d times", n)
	}
	if len(g.pids) != 3 {
		t.Errorf("the processes that printed are %v, want three", g.pids)
	}
	seen := map[int]bool{g.Cmd.Process.Pid: true}
	for role, pid := range g.pids {
		if seen[pid] {
			t.Errorf("the %s is process %d, as another", role, pid)
		}
		seen[pid] = true
	}
	if t.Failed() {
		t.Log(strings.Join(all, "\n"))
	}
}

// TestProcessKilled kills each of the processes in the middle of the tour.
func TestProcessKilled(t *testing.T) {
	for _, role := range order {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			g := guide(t, "-step")
			for range 3 {
				io.WriteString(g.Stdin, "\n")
			}
			g.until("The answer: the balance is 100")
			p, err := os.FindProcess(g.pids[role])
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Kill(); err != nil {
				t.Fatal(err)
			}
			status, complaints := g.end()
			if status != 1 {
				t.Errorf("status %d, want 1", status)
			}
			if want := "tour: the " + role + " (process " + strconv.Itoa(g.pids[role]) + ") died: "; !strings.HasPrefix(complaints, want) {
				t.Errorf("the tour says %q, want %q", complaints, want)
			}
			if n := strings.Count(complaints, "\n"); n != 1 {
				t.Errorf("the tour says %q: want one line, of the process that was killed", complaints)
			}
		})
	}
}

// TestTourKilled: the processes end when nobody leads them. The end of standard error tells.
func TestTourKilled(t *testing.T) {
	t.Parallel()
	g := guide(t, "-step")
	g.until("I listen nowhere")
	g.Kill()
}

func TestInterrupt(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there is no way to send Ctrl-C to one process")
	}
	t.Parallel()
	g := guide(t, "-step")
	g.until("I listen nowhere")
	status, complaints := g.Interrupt(), g.Log()
	if status != 1 || !strings.Contains(complaints, "interrupt") || strings.Count(complaints, "\n") != 1 {
		t.Errorf("status %d, complaints %q, want 1 and one line about the interruption", status, complaints)
	}
}

func TestArguments(t *testing.T) {
	t.Parallel()
	g := guide(t, "nonsense")
	if status, complaints := g.end(); status != 1 || !strings.Contains(complaints, `"nonsense"`) {
		t.Errorf("status %d, complaints %q, want 1 and one about the argument", status, complaints)
	}
}
