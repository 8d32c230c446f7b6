package callback

// Policy says what happens to an event when a subscription's queue
// is full. Lost events are counted, and the subscriber gets a Gap.
type Policy uint8

const (
	// PolicyDropOldest: the oldest event in the queue is dropped.
	PolicyDropOldest Policy = iota
	// PolicyDropNewest: the new event is dropped.
	PolicyDropNewest
	// PolicyCoalesce: of each key only the newest event is kept in the queue, full or
	// not. If there are too many keys, the oldest event is dropped.
	PolicyCoalesce
	// PolicyDisconnect: the subscription ends with ErrSlow after what is queued.
	PolicyDisconnect
)

func (p Policy) String() string {
	if int(p) < len(policyNames) {
		return policyNames[p]
	}
	return "unknown policy"
}

var policyNames = [...]string{"drop oldest", "drop newest", "coalesce", "disconnect"}

// queue is the queue of one consumer: a ring that grows when needed. It is not safe for concurrent
// use.
//
// A slot is live, kept or dead. A live one counts against limit and may be dropped. A kept one is
// never dropped: it is part of a replay or a snapshot, or tells something. A dead one was dropped
// and not yet passed.
//
//	len = end - begin = live + kept + dead;  dead < half of len, or len is small
//	pushed live = popped + live + losses told + losses in missed and lost
type queue[T any] struct {
	buf        []slot[T] // a power of two long
	begin, end uint64    // absolute positions; slot i is buf[i%len(buf)]
	oldest     uint64    // no live slot is before it
	live, dead int
	limit      int
	policy     Policy
	lost       uint64            // live ones lost behind the last slot
	keys       map[string]uint64 // Coalesce: the live slot of each key
	key        func(T) string    // Coalesce
}

type slot[T any] struct {
	v      T
	missed uint32 // live ones lost just before it; saturates
	state  slotState
}

type slotState uint8

const (
	slotDead slotState = iota
	slotKept
	slotLive
)

func newQueue[T any](limit int, p Policy, key func(T) string) queue[T] {
	q := queue[T]{limit: limit, policy: p}
	if p == PolicyCoalesce {
		q.key, q.keys = key, make(map[string]uint64)
	}
	return q
}

func (q *queue[T]) at(i uint64) *slot[T] { return &q.buf[i&uint64(len(q.buf)-1)] }

// waiting reports whether pop would return something.
func (q *queue[T]) waiting() bool { return q.begin != q.end || q.lost > 0 }

// push queues a live v. It reports false if the policy is Disconnect and the
// queue is full: v is lost, and no more should be pushed.
func (q *queue[T]) push(v T) bool {
	if q.policy == PolicyCoalesce {
		k := q.key(v)
		if i, ok := q.keys[k]; ok {
			q.drop(i)
		}
		if q.live >= q.limit {
			q.dropOldest()
		}
		q.append(v, slotLive)
		q.keys[k] = q.end - 1
		return true
	}
	if q.live >= q.limit {
		switch q.policy {
		case PolicyDropNewest:
			q.lost++
			return true
		case PolicyDisconnect:
			q.lost++
			return false
		}
		q.dropOldest()
	}
	q.append(v, slotLive)
	return true
}

// keep queues v, which is never dropped.
func (q *queue[T]) keep(v T) { q.append(v, slotKept) }

// lose notes that n entries were lost after the last one.
func (q *queue[T]) lose(n uint64) { q.lost += n }

func (q *queue[T]) append(v T, state slotState) {
	if q.end-q.begin == uint64(len(q.buf)) {
		q.grow()
	}
	*q.at(q.end) = slot[T]{v, saturate(q.lost), state}
	q.lost = 0
	q.end++
	if state == slotLive {
		q.live++
	}
}

func saturate(n uint64) uint32 { return uint32(min(n, 1<<32-1)) }

// dropOldest drops the oldest live slot; there is one.
func (q *queue[T]) dropOldest() {
	i := max(q.oldest, q.begin)
	for q.at(i).state != slotLive {
		i++
	}
	q.oldest = i
	if q.keys != nil {
		delete(q.keys, q.key(q.at(i).v))
	}
	q.drop(i)
}

// drop makes a live slot dead. The next slot reports the loss.
func (q *queue[T]) drop(i uint64) {
	s := q.at(i)
	n := uint64(s.missed) + 1
	*s = slot[T]{}
	q.live--
	q.dead++
	if i+1 == q.end {
		q.lost += n
	} else {
		next := q.at(i + 1)
		next.missed = saturate(uint64(next.missed) + n)
	}
	q.pass()
	if q.dead > 16 && uint64(q.dead) > (q.end-q.begin)/2 {
		q.resize(len(q.buf))
	}
}

// pass skips dead slots at the beginning. The next slot reports their losses.
func (q *queue[T]) pass() {
	for q.begin != q.end && q.at(q.begin).state == slotDead {
		if n := q.at(q.begin).missed; n > 0 {
			if q.begin+1 == q.end {
				q.lost += uint64(n)
			} else {
				next := q.at(q.begin + 1)
				next.missed = saturate(uint64(next.missed) + uint64(n))
			}
		}
		*q.at(q.begin) = slot[T]{}
		q.begin++
		q.dead--
	}
}

// pop takes the first entry out. missed is how many were lost before it. If ok is false, there is
// no entry, but there may be losses.
func (q *queue[T]) pop() (v T, missed uint64, ok bool) {
	if q.begin == q.end {
		missed, q.lost = q.lost, 0
		return v, missed, false
	}
	s := q.at(q.begin)
	v, missed = s.v, uint64(s.missed)
	if s.state == slotLive {
		q.live--
		if q.keys != nil {
			delete(q.keys, q.key(v))
		}
	}
	*s = slot[T]{}
	q.begin++
	if q.dead > 0 {
		q.pass()
	}
	if q.begin == q.end && len(q.buf) > keepSlots {
		q.buf = nil
	}
	return v, missed, true
}

// keepSlots is the size of the largest ring that is kept when it is empty.
const keepSlots = 256

// clear drops everything without counting it.
func (q *queue[T]) clear() {
	q.buf, q.begin, q.end, q.oldest, q.live, q.dead, q.lost = nil, 0, 0, 0, 0, 0, 0
	clear(q.keys)
}

func (q *queue[T]) grow() {
	if q.dead > 0 {
		q.resize(len(q.buf))
		if q.end-q.begin < uint64(len(q.buf)) {
			return
		}
	}
	q.resize(max(4, 2*len(q.buf)))
}

// resize moves all but the dead slots to a ring of n slots.
func (q *queue[T]) resize(n int) {
	buf := make([]slot[T], n)
	end := uint64(0)
	carry := uint64(0)
	clear(q.keys)
	for i := q.begin; i != q.end; i++ {
		s := *q.at(i)
		if s.state == slotDead {
			carry += uint64(s.missed)
			continue
		}
		s.missed = saturate(uint64(s.missed) + carry)
		carry = 0
		if q.keys != nil && s.state == slotLive {
			q.keys[q.key(s.v)] = end
		}
		buf[end] = s
		end++
	}
	q.lost += carry
	q.buf, q.begin, q.end, q.oldest, q.dead = buf, 0, end, 0, 0
}
