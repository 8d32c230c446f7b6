package chaos

import (
	"fmt"
	"sync"

	"gormi/rmi/wire"
)

// Where says at which byte of a record a connection is cut.
type Where int

const (
	Before Where = iota // no byte of the record goes on
	Middle              // half of them do
	After               // all do, and not one more
)

func (w Where) String() string { return [...]string{"before", "in the middle of", "after"}[w] }

// Rule names a record, or a message of the handshake, and where the connection is cut.
type Rule struct {
	Way     Way
	Match   func(wire.Prefix) bool // nil: every record
	Message wire.HandshakeKind     // if not zero, this message in place of a record
	N       int                    // the n-th that matches, over all connections; if zero, the first
	Where   Where
	OneWay  bool // the other direction goes on
}

// Cutter is a forwarder that follows the messages and records of its connections, which must
// not be encrypted. It cuts once, at the byte that its rule names. The bytes before it reach
// the receiver. Once the last of them is on its way, none goes the other way, unless the rule
// is for one way.
type Cutter struct {
	*Forwarder
	rule Rule
	cut  chan struct{}

	mu      sync.Mutex // guards the fields below
	armed   bool
	matched int
	seen    [2]map[wire.FrameKind]int
	broken  error
}

// NewCutter returns a cutter that listens on address. It only counts until Arm is called.
func NewCutter(n Network, address string, r Rule) (*Cutter, error) {
	if r.Match == nil {
		r.Match = func(wire.Prefix) bool { return true }
	}
	r.N = max(r.N, 1)
	c := &Cutter{rule: r, cut: make(chan struct{})}
	for w := range c.seen {
		c.seen[w] = make(map[wire.FrameKind]int)
	}
	var err error
	c.Forwarder, err = listen(n, address, func() [2]gate {
		up, down := &stream{cutter: c, way: Up}, &stream{cutter: c, way: Down}
		return [2]gate{Up: up.pass, Down: down.pass}
	})
	return c, err
}

// Arm makes the cutter look for its record from now on.
func (c *Cutter) Arm() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.armed = true
}

// Cutting is closed when the record came and the connection was cut.
func (c *Cutter) Cutting() <-chan struct{} { return c.cut }

// Seen is how many records of a kind began in a direction. It includes the record at which the
// connection was cut.
func (c *Cutter) Seen(w Way, k wire.FrameKind) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen[w][k]
}

// Err returns an error if bytes passed that are not what package wire specifies.
func (c *Cutter) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.broken
}

// record notes a record and reports whether to cut at it.
func (c *Cutter) record(w Way, p wire.Prefix, err error) (hit bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil && c.broken == nil {
		c.broken = fmt.Errorf("%v: %w", w, err)
	}
	c.seen[w][p.Kind]++
	return c.armed && c.matches(w, c.rule.Message == 0 && c.rule.Match(p))
}

// message is record for a message of the handshake.
func (c *Cutter) message(w Way, k wire.HandshakeKind) (hit bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.armed && c.matches(w, c.rule.Message == k)
}

// matches counts what matches the rule. mu is held.
func (c *Cutter) matches(w Way, match bool) (hit bool) {
	if w != c.rule.Way || !match {
		return false
	}
	if c.matched++; c.matched != c.rule.N {
		return false
	}
	close(c.cut)
	return true
}

// stream follows one direction of one connection: the magic, the messages of the handshake up
// to the last of this side, and records.
type stream struct {
	cutter *Cutter
	way    Way

	phase phase
	head  []byte // of a message whose prefix is not complete; held back
	left  int    // bytes of the message under way
	cutIn int    // of these, bytes until the cut; 0: no cut
	out   []byte
}

type phase int

const (
	magic phase = iota
	handshake
	records
	refused // after a refusal nothing may come
)

// prefix is the size of the beginning of a message.
func (p phase) prefix() int {
	return [...]int{magic: len(wire.Magic), handshake: wire.HandshakePrefix, records: wire.PrefixSize, refused: 1}[p]
}

// last is the message of each side after which it sends records.
var last = [2]wire.HandshakeKind{Up: wire.HandshakeProof, Down: wire.HandshakeWelcome}

// pass is the gate of the direction.
func (s *stream) pass(b []byte) (on []byte, cut extent) {
	if cut = both; s.cutter.rule.OneWay {
		cut = thisWay
	}
	s.out = s.out[:0]
	for len(b) > 0 {
		if s.left > 0 {
			n := min(s.left, len(b))
			if s.cutIn > 0 {
				n = min(n, s.cutIn)
			}
			s.out, b = append(s.out, b[:n]...), b[n:]
			s.left -= n
			if s.cutIn > 0 {
				if s.cutIn -= n; s.cutIn == 0 {
					return s.out, cut
				}
			}
			continue
		}
		n := min(s.phase.prefix()-len(s.head), len(b))
		s.head, b = append(s.head, b[:n]...), b[n:]
		if len(s.head) < s.phase.prefix() {
			break
		}
		on := s.begin()
		s.out = append(s.out, s.head[:on]...)
		if on < len(s.head) || s.cutIn < 0 {
			return s.out, cut
		}
		s.head = s.head[:0]
	}
	return s.out, nothing
}

// begin handles a complete prefix and returns how many of its bytes go on. cutIn is then the
// number of bytes behind the prefix until the cut. It is negative for a cut right behind the
// prefix.
func (s *stream) begin() (on int) {
	switch s.phase {
	case magic:
		s.phase = handshake
	case handshake:
		s.left = int(s.head[1])<<8 | int(s.head[2])
		k := wire.HandshakeKind(s.head[0])
		switch k {
		case last[s.way]:
			s.phase = records
		case wire.HandshakeRefuse:
			s.phase = refused
		}
		if s.cutter.message(s.way, k) {
			return s.cutAt(wire.HandshakePrefix)
		}
	case records:
		p, err := wire.ParsePrefix(s.head)
		s.left = int(p.Length)
		if s.cutter.record(s.way, p, err) {
			return s.cutAt(wire.PrefixSize)
		}
	}
	return len(s.head)
}

// cutAt finds the byte at which to cut the message that begins: on, of the prefix, and cutIn.
func (s *stream) cutAt(prefix int) (on int) {
	size := prefix + s.left
	at := [...]int{Before: 0, Middle: size / 2, After: size}[s.cutter.rule.Where]
	if at < prefix {
		return at
	}
	if s.cutIn = at - prefix; s.cutIn == 0 {
		s.cutIn = -1
	}
	return prefix
}
