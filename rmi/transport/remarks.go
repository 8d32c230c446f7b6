package transport

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"slices"

	"gormi/rmi/audit"
	"gormi/rmi/internal/guard"
)

// remarksPerSecond is how many records of one message there are in a second. It bounds what
// strangers can make a node log.
const remarksPerSecond = 10

// remarks counts the remarks of a second by their message. Messages are constants, so there are
// few.
type remarks struct {
	mu guard.Mutex[map[string]int]
}

// may counts a remark, and reports whether it is to be logged.
func (r *remarks) may(msg string) bool {
	st := r.mu.Lock()
	defer r.mu.Unlock()
	if *st == nil {
		*st = make(map[string]int)
	}
	(*st)[msg]++
	return (*st)[msg] <= remarksPerSecond
}

// unlogged are remarks that were not logged.
type unlogged struct {
	msg    string
	number int
}

// second begins another second. It returns what the last one left out.
func (r *remarks) second() (left []unlogged) {
	st := r.mu.Lock()
	defer r.mu.Unlock()
	for msg, n := range *st {
		if n > remarksPerSecond {
			left = append(left, unlogged{msg, n - remarksPerSecond})
		}
	}
	clear(*st)
	slices.SortFunc(left, func(a, b unlogged) int { return cmp.Compare(a.msg, b.msg) })
	return left
}

// remark logs something that a peer has caused, but not too often: whoever can connect can repeat
// it at will.
func (t *Transport) remark(level slog.Level, msg string, attrs ...slog.Attr) {
	if t.remarks.may(msg) {
		t.Logger.LogAttrs(context.Background(), level, msg, attrs...)
	}
}

// tellUnlogged says once a second what remark has left out.
func (t *Transport) tellUnlogged() {
	for _, left := range t.remarks.second() {
		t.Logger.Info("more of what peers cause, not logged one by one", "event", left.msg, "number", left.number)
	}
}

// Note tells of a security event: see package audit.
func (t *Transport) Note(e audit.Event) {
	if t.Audit != nil {
		guard.NoneHeld()
		t.tell(e)
	}
	if t.remarks.may(string(e.Kind)) {
		t.Logger.LogAttrs(context.Background(), e.Level(), string(e.Kind), e.Attrs()...)
	}
}

// tell tells the program's hook. A panic there is not the peer's to cause.
func (t *Transport) tell(e audit.Event) {
	defer func() {
		if v := recover(); v != nil {
			t.remark(slog.LevelError, "Options.Audit panicked", slog.String("panic", fmt.Sprint(v)), slog.String("stack", string(debug.Stack())))
		}
	}()
	t.Audit(e)
}

// addressOf is whom a connection comes from.
func addressOf(conn net.Conn) string {
	if a := conn.RemoteAddr(); a != nil {
		return a.String()
	}
	return ""
}

// noteOf is Note for an event that a session's peer has caused.
func (s *Session) noteOf(kind audit.Kind, why error) {
	e := audit.Event{Kind: kind, Principal: s.principal, Node: s.peer, Reason: text(why)}
	if s.account != nil {
		e.From = s.account.key
	}
	s.transport.Note(e)
}
