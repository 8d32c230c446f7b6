package transport

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"log/slog"
	"net"
	"time"

	"gormi/refs"
	"gormi/rmi/audit"
	"gormi/rmi/dialpolicy"
	"gormi/rmi/transport/streams"
	"gormi/rmi/wire"
)

// Network opens connections and listeners. *net.Dialer and *net.ListenConfig together have its
// methods, and so has an in-memory network. A connection may have more methods than a net.Conn.
// The comment of carrier says which are used.
type Network interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
	Listen(ctx context.Context, network, address string) (net.Listener, error)
}

// Limits bound what peers can make a node hold. The number after the semicolon is the default,
// which a zero field means.
type Limits struct {
	wire.Limits

	Assembly      int // bytes of fragmented payloads under assembly on a connection; 16 MiB
	AssemblyTotal int // the same, of all connections together; one peer may use a quarter of it; 256 MiB
	Slots         int // calls in flight from one peer; 65,536, of which a quarter may be of depth 0
	Handlers      int // calls of one peer being served or waiting for a servant's turn; 1,024
	HandlersTotal int // the same, of all peers together; 8,192
	Nested        int // calls of depth above 0 of one peer being served, which pass the two limits above; 8,192
	NestedTotal   int // the same, of all peers together; 16,384
	Queue         int // calls of depth 0 of one peer that wait for a handler; 4,096
	Streams       int // open streams on a connection; 256
	Connections   int // connections, handshakes under way included; 16,384
	Handshakes    int // handshakes under way on connections that were accepted; 2,048
	Pending       int // bytes of small frames that wait to be written to one peer; 256 KiB
	Retained      int // bytes of replies that one peer has not acknowledged; at this many its new calls are refused; 32 MiB, must be well above 1 MiB
	RetainedTotal int // the same, of all peers together; 512 MiB
	Detached      int // sessions without a connection; above it one ends, of the account that has most of them the one that has been without for longest; 4,096
	CallRate      int // calls a second of one account; 0: as many as it likes
	HandshakeRate int // connections a second from one address; 0: as many as it likes
	Share         int // percent of each total (HandlersTotal, NestedTotal, AssemblyTotal, RetainedTotal, Connections, Handshakes) that one account may use; 50
}

// WithDefaults fills in the zero fields.
func (l Limits) WithDefaults() Limits {
	l.Limits = l.Limits.WithDefaults()
	for _, f := range []struct {
		field *int
		value int
	}{
		{&l.Assembly, 16 << 20}, {&l.AssemblyTotal, 256 << 20}, {&l.Slots, 1 << 16}, {&l.Handlers, 1024},
		{&l.HandlersTotal, 8192}, {&l.Nested, 8192}, {&l.NestedTotal, 16384}, {&l.Queue, 4096}, {&l.Streams, 256}, {&l.Connections, 16384}, {&l.Handshakes, 2048}, {&l.Pending, 256 << 10},
		{&l.Retained, 32 << 20}, {&l.RetainedTotal, 512 << 20}, {&l.Detached, 4096}, {&l.Share, 50},
	} {
		if *f.field <= 0 {
			*f.field = f.value
		}
	}
	l.Message = max(l.Message, 1<<10) // as a hello must offer, like LeastSlots
	l.Assembly = min(max(l.Assembly, l.Message), 1<<30)
	l.Share = min(l.Share, 100)
	l.Slots = min(max(l.Slots, wire.LeastSlots), 1<<20)
	return l
}

// Config says how to make a Transport. Fields are required unless they say otherwise. TLS,
// Limits, Attach and OnEnd may be zero.
type Config struct {
	Key     ed25519.PrivateKey // of this node; its public half makes the node's id
	Time    refs.Time          // when the node was made
	Handler Handler
	Network Network
	TLS     *tls.Config // for TCP, both ways; nil: in the clear
	Limits  Limits
	Logger  *slog.Logger

	// Audit is told of each security event. It must not block. May be nil.
	Audit func(audit.Event)

	// Dial says which addresses may be dialled. If nil, dialpolicy's default.
	Dial *dialpolicy.Rules

	// RequirePrincipal refuses peers whose identity nothing proves.
	RequirePrincipal bool

	Attach func(*Session) any // what Session.Attached returns; may be nil
	OnEnd  func(*Session)     // called once for each session, when it is over and no goroutine of it is left

	// SessionLease is how long a session outlives its connection. If zero, DefaultSessionLease.
	SessionLease time.Duration

	// Grace is how long calls wait for a peer whose connection was lost and that this
	// node cannot dial. If zero, DefaultGrace; if negative, SessionLease.
	Grace time.Duration

	// RefusalsPass says that an address may refuse connections although the process that was
	// reached there lives. See absence.go.
	RefusalsPass bool

	// BusyPoll is how long a reader spins for more bytes before it blocks. If zero,
	// DefaultBusyPoll; if negative, it blocks at once. See the comment of the package
	// for what it costs.
	BusyPoll time.Duration

	// NoResume ends sessions with their connections, as with peers that cannot resume. Replies
	// are not retained and references not counted. It is for measurements.
	NoResume bool

	// OnConnect is called when a session gets a connection, before anything is sent on it and
	// before the session has it. Its result becomes Link.Attached. It must not block: the next
	// connection waits for it. OnDisconnect is called when the connection is lost and all its
	// goroutines have ended. Both may be nil.
	OnConnect    func(*Link) any
	OnDisconnect func(*Link)

	// OnAbsent is called when a session has had no connection for a quarter of its
	// lease. It must not block. May be nil.
	OnAbsent func(*Session)

	// OnTable is called with the table of references of a payload that is complete and that
	// nobody will decode. The reading goroutine calls it: it must not block. It must not keep
	// the table. May be nil.
	OnTable func(s *Session, references uint32, table []byte)

	// OnStream is called for each stream that a peer opens, on a goroutine of its own. It must
	// return when the stream fails. A stream fails when its connection is lost. If OnStream is
	// nil, the streams of peers stay unread.
	OnStream func(*Link, streams.Stream)
}

// DefaultSessionLease is how long a session outlives its connection.
const DefaultSessionLease = time.Minute

// Durations of the transport's clock. Time is counted in ticks. So a process that was stopped
// does not take its own absence for its peer's.
const (
	tick             = 250 * time.Millisecond
	pingAfter        = 5 * time.Second  // without a byte received
	pingLossyAfter   = 2 * tick         // the same, for the dialling side over datagrams; a minimum: a read counts from its tick on
	deadAfter        = 15 * time.Second // without a byte received, or a write without progress
	handshakeTimeout = 5 * time.Second  // twice that over a lossy carrier
	dialTimeout      = 10 * time.Second
	crossedRetry     = 500 * time.Millisecond // how long a dial that was crossed waits for the other
	closeTimeout     = time.Second            // to get the last record out, without progress
	closeLimit       = 5 * time.Second        // the same, with progress
	workerIdle       = 10 * time.Second
)

// Handler serves the calls that arrive.
type Handler interface {
	// Route says how the calls to an object take turns. The reading goroutine calls it: it must
	// not block.
	Route(in *Incoming) (Threading, *Turn)
	// Serve answers the call by in.Reply or in.Fail. It runs on a handler goroutine. in must
	// not be used after Serve has returned.
	Serve(in *Incoming)
}

// Threading says which calls to one object may run concurrently.
type Threading uint8

const (
	ThreadingConcurrent    Threading = iota // every call on its own goroutine
	ThreadingPerConnection                  // those of one connection one after the other, in the order in which they were made
	ThreadingSerial                         // one at a time
)

func (t Threading) String() string {
	return [...]string{"concurrent", "per connection", "serial"}[t]
}
