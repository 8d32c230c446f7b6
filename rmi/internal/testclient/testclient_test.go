package main

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"gormi/rmi/rmitest/proctest"
)

// command prepares a program, which is killed when ctx ends.
func command(ctx context.Context, path string, args ...string) *exec.Cmd {
	c := proctest.Command(ctx, path, args...)
	c.WaitDelay = time.Second
	return c
}

// start runs a program until the test ends, and returns the first line that it prints.
func start(ctx context.Context, t *testing.T, path string, args ...string) string {
	t.Helper()
	return proctest.Start(t, command(ctx, path, args...)).Line()
}

// printed are the steps that the client prints, one a line. What comes behind … is the peers'
// own text.
const printed = `level: client
registry: handshake done, the node holds its key
registry: hello is an object of the interface hello.Greeter
greeter: handshake done, the node is the one that the reference names
greeter: who expects another node is refused: StaleReference: …
greeter: who sends an unknown record is closed by the peer: Protocol: W-42: …
registry: list map[More:false Names:[map[Interface:hello.Greeter Name:hello]]]
registry: lookup of a name that is not bound: Application/Executed with NotBound: …
greeter: describes itself as hello.Greeter: Greet(string)(string) Watch(remote{Call(string)()})(remote{Cancel()()})
greeter: the description that the registry has is the same: true
greeter: the fingerprint in the reference is that of the description: true
greeter: Hello, testclient!
greeter: greets a name of 102400 bytes in 102408 bytes, as expected: true
callback: callback is greeted, says a call at depth 1 of the same chain: true; asked for the description: true
callback: the subscription (callback.Subscription) is cancelled, calls after that: 0
callback: callback is greeted, says a call at depth 1 of the same chain: true; asked for the description: false
callback: the subscription (callback.Subscription) is cancelled, calls after that: 0
greeter: an unknown object: NoSuchObject/NotExecuted: …
greeter: an unknown method: NoSuchMethod/NotExecuted: …
greeter: a wrong argument: BadArguments/NotExecuted: …
greeter: no argument: BadArguments/NotExecuted: …
greeter: a target that is not relayed: NoSuchObject/NotExecuted: …
greeter: a target that is the node itself: Hello, target!
greeter: a record and an extension that may be skipped: Hello, skipped!
greeter: an extension that may not: Protocol/NotExecuted…
greeter: metadata with a control character in a key: Protocol/NotExecuted…
greeter: a call cancelled between its fragments: Cancelled/NotExecuted: …
callback: ended by context canceled
greeter: a call cancelled while it runs returns all the same: Hello, cancel!
relay: the reference has a place: false, a relay that is the registry: true, and its place: true
relay: called with "relayed" at depth 0 after 1 hops; metadata [{key:id value:42 passedOn:false} {key:tenant value:blue passedOn:true}]
relay: the call returns: Application/Executed: the function's own error
relay: metadata of the return: [{key:version value:7 passedOn:false}]
greeter: answers a ping
greeter: pings after a silence, and takes the pong
both sessions are closed, and the peers have closed the connections
level: resume
resume: both nodes announce it: true
resume: cut while a call of 16 bytes and its callback run; it returns: true, the callback ran 1 times
resume: cut while a call of 102400 bytes and its callback run; it returns: true, the callback ran 1 times
resume: cut before the return; it comes again: true, the callback ran 1 times
resume: a call that was lost, and given up: Cancelled/NotExecuted: …
resume: it says uncounted: true
resume: Hello, the next in its slot!
resume: a connection of a session that nobody knows is refused: PeerGone: …
resume: a connection without a number is refused: Protocol: W-20: …
resume: a connection that is older than the session's is closed
resume: Hello, after all of that!, in one session with 4 cuts
level: leases
leases: registered with the owner; of two objects it does not export those at [1]
leases: given back to the registry, which had handed it on
leases: a subscription that was given back: NoSuchObject/NotExecuted: …
leases: the registry gives 1 reference back, which it does not hold, in batch 1
leases: handed on twice by the registry, which relays: true
leases: given back once: true
leases: the same batch again: true
leases: given back twice: NoSuchObject/NotExecuted: …
leases: asked to keep what was handed on, for a lease
`

// idle is printed if the client waits for a ping.
const idle = "greeter: pings after a silence, and takes the pong\n"

func TestClient(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	dir := proctest.Build(t, ".", "gormi/cmd/rmiregistry", "gormi/examples/hello/server")
	line := start(ctx, t, dir+"rmiregistry", "-addr", "127.0.0.1:0")
	registry := line[strings.LastIndexByte(line, ' ')+1:]

	// Nothing is bound yet.
	_, err := command(ctx, dir+"testclient", "-registry", registry).Output()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.ExitCode() != 1 || !strings.Contains(string(exit.Stderr), "NotBound") {
		t.Fatalf("without a server: %v, want status 1 and an error that the name is not bound", err)
	}

	start(ctx, t, dir+"server", "-registry", "rmi://"+registry)
	for _, level := range []string{"client", "resume", "leases"} { // all with the same programs, because none leaves anything behind
		printed, args := printed, []string{"-registry", registry, "-level", level}
		switch level {
		case "client":
			printed, _, _ = strings.Cut(printed, "level: resume")
			args = append(args, "-idle")
		case "resume":
			printed, _, _ = strings.Cut(printed, "level: leases")
		}
		printed = strings.Replace(printed, idle, map[bool]string{true: idle}[level == "client"], 1)
		client := command(ctx, dir+"testclient", args...)
		var log strings.Builder
		client.Stderr = &log
		out, err := client.Output()
		if err != nil {
			t.Errorf("%v\n%s", err, log.String())
		}
		got, want := strings.Split(string(out), "\n"), strings.Split(printed, "\n")
		for i := range max(len(got), len(want)) {
			if i >= len(got) || i >= len(want) || !matches(got[i], want[i]) {
				t.Fatalf("line %d is not as expected in\n%s\nwant\n%s", i+1, out, printed)
			}
		}
	}
}

// matches compares a line with one that may end in "…".
func matches(line, want string) bool {
	begin, some := strings.CutSuffix(want, "…")
	return line == want || some && strings.HasPrefix(line, begin)
}
