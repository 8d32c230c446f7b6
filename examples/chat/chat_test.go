package main

import (
	"context"
	"runtime"
	"strings"
	"testing"

	"gormi/registry"
	"gormi/rmi"
)

func TestTalk(t *testing.T) {
	t.Parallel()
	ctx := patient(t)
	at, server := startChat(ctx, t)

	ada := enter(ctx, t, at, "Ada", "lobby")
	bob := enter(ctx, t, at, "Bob", "lobby")
	ada.expect(`^\* Bob came in$`)
	for _, text := range []string{"hello", "1 2  3", "/etc is a folder", "ünï → 東京"} {
		typed := text
		if strings.HasPrefix(text, "/") {
			typed = "/" + text
		}
		bob.say(typed)
		bob.expect("^Bob: " + text + "$")
		ada.expect("^Bob: " + text + "$")
	}
	ada.say("/who")
	ada.expect(`^\* in lobby: Ada, Bob$`)

	// History on join: what was said, before what is said.
	cy := start(ctx, t, "-role", "client", "-registry", at, "-name", "Cy")
	for _, text := range []string{"hello", "1 2  3", "/etc is a folder", "ünï → 東京"} {
		cy.expect(`^\d\d:\d\d Bob: ` + text + "$")
	}
	cy.expect(`^\* you are Cy in lobby, with Ada, Bob$`)
	cy.expect("/help")
	for _, p := range []*process{ada, bob} {
		p.expect(`^\* Cy came in$`)
	}

	// Another room.
	cy.say("/join tea.room")
	cy.expect(`^\* you are Cy in tea.room, nobody else is there$`)
	for _, p := range []*process{ada, bob} {
		p.expect(`^\* Cy left$`)
	}
	cy.say("only I hear this")
	cy.expect("^Cy: only I hear this$")
	cy.say("/rooms")
	cy.expect(`^\* lobby: 2$`)
	cy.expect(`^\* tea.room: 1$`)
	cy.say("/leave")
	cy.expect(`^\* you left tea.room$`)
	cy.say("does anybody hear me?")
	cy.expect("you are in no room")
	cy.say("/who")
	cy.expect("you are in no room")
	cy.say("/join tea.room")
	cy.expect(`^\d\d:\d\d Cy: only I hear this$`)
	cy.expect(`^\* you are Cy in tea.room`)

	// A client that dies.
	bob.Kill()
	ada.expect(`^\* Bob is gone: the connection was lost$`)
	ada.say("/who")
	ada.expect(`^\* in lobby: Ada$`)
	bob = start(ctx, t, "-role", "client", "-registry", at, "-name", "Bob") // the name is free
	for range 4 {
		bob.expect(`^\d\d:\d\d Bob: `)
	}
	bob.expect(`^\* you are Bob in lobby, with Ada$`)
	bob.expect("/help")
	ada.expect(`^\* Bob came in$`)
	bob.say("/join tea.room")
	bob.expect("Cy: only I hear this$")
	bob.expect(`^\* you are Bob in tea.room, with Cy$`)
	ada.expect(`^\* Bob left$`)
	cy.expect(`^\* Bob came in$`)

	// The ends: of the input, /quit, Ctrl-C.
	cy.ends()
	bob.expect(`^\* Cy left$`)
	ada.say("/quit")
	if got := ada.End(); got != 0 {
		t.Errorf("status %d after /quit", got)
	}
	if runtime.GOOS == "windows" {
		return // it has no way to send Ctrl-C to one process
	}
	for _, p := range []*process{bob, server} {
		if got := p.Interrupt(); got != 0 {
			t.Errorf("status %d after Ctrl-C", got)
		}
	}
}

func TestMistakes(t *testing.T) {
	t.Parallel()
	ctx := patient(t)
	at, _ := startChat(ctx, t)
	ada := enter(ctx, t, at, "Ada", "lobby")
	for _, c := range []struct{ typed, want string }{
		{"/nonsense", "there is no command /nonsense; /help lists them"},
		{"/join", errBadName.Error()},
		{"/join a b", errBadName.Error()},
		{"/join lobby", "you are in lobby already"},
		{strings.Repeat("x", maxText+1), errTooLong.Error()},
		{strings.Repeat("x", 3*maxLine), errTooLong.Error()},
		{"\x1b[2J\xff\a.", "^Ada: \ufffd\\[2J\ufffd\ufffd.$"},
	} {
		ada.say(c.typed)
		ada.expect(c.want)
	}
	ada.say("\n  \n/help")
	for l := range strings.SplitSeq(help, "\n") {
		if got := ada.expect(""); got != l {
			t.Errorf("/help shows %q, want %q", got, l)
		}
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-role", "client", "-registry", at, "-name", "Ada"}, errNameTaken.Error()},
		{[]string{"-role", "client", "-registry", at, "-name", "a b"}, errBadName.Error()},
		{[]string{"-role", "client", "-registry", at, "-room", "a/b"}, errBadName.Error()},
		{[]string{"-role", "client", "-registry", nobody(t)}, "no registry answers"},
		{[]string{"-role", "client", "-registry", serveRegistry(t)}, "not bound"},
		{[]string{"-role", "server", "-registry", at}, "a chat server runs already"},
		{[]string{"-role", "other", "-registry", at}, `-role "other"`},
		{[]string{"-registry", at + "/name"}, "is no address of a registry"},
		{[]string{"-registry", "http://localhost"}, "is no address of a registry"},
		{[]string{"nonsense"}, `"nonsense" is no argument`},
	} {
		p := start(ctx, t, c.args...)
		if got := p.End(); got != 1 || !strings.Contains(p.Log(), c.want) || strings.Count(p.Log(), "\n") != 1 {
			t.Errorf("chat %q: status %d, log %q, want 1 and a line with %q", c.args, got, p.Log(), c.want)
		}
	}
}

// TestServerDies: the clients are told, and come back to a new server, which takes over the dead
// one's name.
func TestServerDies(t *testing.T) {
	t.Parallel()
	ctx := patient(t)
	at, server := startChat(ctx, t)
	ada := enter(ctx, t, at, "Ada", "lobby")
	server.Kill()
	ada.expect(`^\* the connection to the server is lost`)
	ada.say("hello?")
	ada.expect("you are in no room")
	ada.say("/join lobby")
	ada.expect(`^\* rmi: `)
	server = start(ctx, t, "-role", "server", "-registry", at)
	server.expect("is bound")
	ada.say("/join lobby")
	ada.expect(`^\* you are Ada in lobby, nobody else is there$`)
	ada.say("again")
	ada.expect("^Ada: again$")
	ada.ends()
}

// TestAll is the program without -role: everything on one machine.
func TestAll(t *testing.T) {
	t.Parallel()
	ctx := patient(t)
	at := nobody(t)
	first := start(ctx, t, "-registry", at, "-name", "Ada")
	line := first.expect(`^\* from another terminal: `)
	if !strings.HasSuffix(line, " -role client -registry "+at) {
		t.Errorf("the line for the other terminal is %q", line)
	}
	first.expect(`^\* you are Ada in lobby, nobody else is there$`)
	first.expect("/help")
	served := session(ctx, t, at)

	second := start(ctx, t, "-registry", at)
	second.expect("from another terminal")
	second.expect(`^\* you are \S+ in lobby, with Ada$`)
	second.expect("/help")
	first.expect(`^\* \S+ came in$`)
	third := start(ctx, t, "-registry", at) // the same user
	third.expect("from another terminal")
	third.expect(`^\* you are \S+2 in lobby, with .*Ada`)
	third.expect("/help")
	first.expect(`^\* \S+2 came in$`)
	second.expect(`^\* \S+2 came in$`)

	// The server outlives who started it.
	first.Stdin.Close()
	first.expect(`^\* others are still talking: the server ends when they have left$`)
	first.ends()
	second.expect(`^\* Ada left$`)
	second.say("go on")
	second.expect("go on$")
	third.expect(`^\* Ada left$`)
	third.expect("go on$")
	second.ends()
	select {
	case <-served:
		t.Error("the server ended before the last one left")
	default:
	}
	third.ends()
	select {
	case <-served:
	case <-ctx.Done():
		t.Error("the server did not end when the last one had left")
	}
}

// TestStarterKilled: the server goes on for the others, and then nothing stays behind.
func TestStarterKilled(t *testing.T) {
	t.Parallel()
	ctx := patient(t)
	at := nobody(t)
	p := start(ctx, t, "-registry", at)
	p.expect("from another terminal")
	p.expect(`^\* you are `)
	served := session(ctx, t, at)
	bob := enter(ctx, t, at, "Bob", "lobby")
	p.Kill()
	bob.expect("is gone: the connection was lost$")
	for range 10 {
		bob.say("anybody?")
		bob.expect("^Bob: anybody.$")
	}
	bob.ends()
	select {
	case <-served:
	case <-ctx.Done():
		t.Error("the server did not end when the last one had left")
	}
}

// TestTogether: several programs that find no server at the same time.
func TestTogether(t *testing.T) {
	t.Parallel()
	ctx := patient(t)
	at := nobody(t)
	var all []*process
	for range 3 {
		all = append(all, start(ctx, t, "-registry", at))
	}
	for _, p := range all {
		p.expect("from another terminal")
		p.expect(`^\* you are `)
	}
	for _, p := range all {
		p.Stdin.Close()
	}
	for _, p := range all {
		p.ends()
	}
}

// hostile is a server that sends what no terminal should see.
type hostile struct{}

const evil = "\x1b[2J\x1b]0;title\a\u009b31m\u202eevil\xff\r\nroot: "

func (*hostile) Join(_ context.Context, _, _ string, l Listener) (Seated, error) {
	line := Line{Seq: 1, From: evil, Text: evil}
	return Seated{&hostileSeat{l}, []Line{line}, []string{evil}}, nil
}

func (*hostile) Rooms(context.Context) ([]RoomInfo, error) { return []RoomInfo{{Name: evil}}, nil }

type hostileSeat struct{ l Listener }

func (s *hostileSeat) Say(ctx context.Context, _ string) error {
	for i, k := range []Kind{Said, Joined, Left, Gone, 77} {
		if err := s.l.Heard(ctx, Line{Seq: Seq(i + 1), Kind: k, From: evil, Text: evil}); err != nil {
			return err
		}
	}
	return nil
}

func (*hostileSeat) Who(context.Context) ([]string, error) { return []string{evil}, nil }
func (*hostileSeat) Leave(context.Context) error           { return errorText(evil) }

type errorText string

func (e errorText) Error() string { return string(e) }

func TestControlCharactersNeverReachTheTerminal(t *testing.T) {
	t.Parallel()
	ctx := patient(t)
	at := serveRegistry(t)
	node, err := rmi.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	u, err := address(at)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := registry.Bind[Chat](ctx, node, u.String(), new(hostile), nil); err != nil {
		t.Fatal(err)
	}
	p := start(ctx, t, "-role", "client", "-registry", at)
	for _, typed := range []string{"hello", "/who", "/rooms", "/leave", "/quit"} {
		p.say(typed)
	}
	if got := p.End(); got != 0 {
		t.Errorf("status %d", got)
	}
	for _, line := range p.Seen {
		if line != clean(line) {
			t.Errorf("the client printed %q", line)
		}
		if strings.HasPrefix(line, "root: ") {
			t.Errorf("a name of two lines reached the terminal as %q", line)
		}
	}
	if n := strings.Count(strings.Join(p.Seen, "\n"), "evil"); n < 8 {
		t.Errorf("%d evil texts were printed, want at least 8 (cleaned): %q", n, p.Seen)
	}
}
