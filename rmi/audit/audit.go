// Package audit tells of security events: whom a node turned away or cut off, which calls it
// denied, and which names changed hands.
//
// Each event is a record in the node's log (rmi.Options.Logger). Its message is the event's Kind,
// and its attributes are the fields of Event that are set, under the names there, with audit=true
// before them. So a program that reads logs finds them by that attribute:
//
//	msg="call denied" audit=true principal=spiffe://bank/till node=5d1f… method=Close
//
// Most events are caused by peers, who can repeat them at will. A node writes at most 10 records
// a second of each kind. Then it writes how many it left out. What came from a peer is shortened
// to 512 bytes, and control characters in it are escaped.
//
// rmi.Options.Audit is a func that is told of each event, also of those that are not written. It
// is for counting, or for an audit trail of one's own. It runs on the goroutine that met with the
// event, which may be one that reads a connection. So it must be quick, and must not call the
// node. Calls of it may be concurrent. It gets texts as they came: Attrs makes them safe to print.
//
// What is no event: a call that fails for another reason, a connection that is lost, and a
// certificate file that cannot be read again. These are in the log too.
package audit

import (
	"log/slog"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"gormi/refs"
)

// Kind says what happened.
type Kind string

const (
	// ConnectionRefused: a connection did not pass the handshake, or there were too many.
	ConnectionRefused Kind = "connection refused"
	// ProtocolBroken: a session was ended because the peer broke the protocol.
	ProtocolBroken Kind = "protocol broken"
	// QuotaExceeded: a peer was refused something, or lost it, because it had its share.
	QuotaExceeded Kind = "quota exceeded"
	// CallDenied: a gate (package access) did not let a call pass.
	CallDenied Kind = "call denied"
	// NameTaken: a name of a registry was taken from its holder by another principal or node.
	NameTaken Kind = "name taken"
	// PolicyReloaded: a registry has a new policy.
	PolicyReloaded Kind = "policy reloaded"
	// PolicyRefused: a policy was not taken up, because it is broken. The one before stays.
	PolicyRefused Kind = "policy refused"
)

// level is how loudly a node says it.
func (k Kind) level() slog.Level {
	switch k {
	case ProtocolBroken:
		return slog.LevelWarn
	case PolicyRefused:
		return slog.LevelError
	}
	return slog.LevelInfo
}

// Event is one event. Which fields are set depends on its kind, and on what is known.
type Event struct {
	Kind      Kind
	Principal string      // of the peer
	Node      refs.NodeID // of the peer
	From      string      // the peer's address, or what it is counted under
	Interface string      // of the object that was called
	Method    string
	Name      string // in a registry
	Holder    string // who had the name
	Reason    string
}

// Level is the level of the event's record.
func (e *Event) Level() slog.Level { return e.Kind.level() }

// Attrs are the attributes of the event's record.
func (e *Event) Attrs() []slog.Attr {
	attrs := []slog.Attr{slog.Bool("audit", true)}
	add := func(name, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(name, clean(value)))
		}
	}
	add("principal", e.Principal)
	if !e.Node.IsZero() {
		add("node", e.Node.String())
	}
	add("from", e.From)
	add("interface", e.Interface)
	add("method", e.Method)
	add("name", e.Name)
	add("holder", e.Holder)
	add("reason", e.Reason)
	return attrs
}

// most is how many bytes of a text go into a record.
const most = 512

// clean shortens what a peer may have chosen, and escapes what terminals and readers of logs
// would take for more than text.
func clean(s string) string {
	if len(s) > most {
		end := most
		for end > most-utf8.UTFMax && !utf8.RuneStart(s[end]) {
			end--
		}
		s = s[:end] + "…"
	}
	plain := func(r rune) bool { return unicode.IsPrint(r) && r != utf8.RuneError }
	if strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	quoted := strconv.QuoteToGraphic(s)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}
