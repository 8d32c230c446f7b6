package registry

import (
	"time"

	"gormi/refs"
)

// ending is how a binding ended that was not replaced by another.
type ending bool

const (
	lapsed  ending = false // its lease was not renewed
	unbound ending = true
)

// end is the end of the last binding that a name had.
type end struct {
	revision Revision
	how      ending
	of       refs.NodeID // who held it
	held     party       // likewise
	by       holder      // who unbound it
	origin               // zero of a permanent one
}

// past remembers names that are not bound any more, whoever unbound them and however long they were
// bound, because an earlier holder must not bind them again. It remembers a name for at least
// pastFor, unless more than maxPast names end in that time. It has two generations, and drops the
// older one as a whole. The zero value is empty.
//
// A party can bind names and let them lapse as often as it likes. So a generation has at most
// maxPastEach of its names, and it forgets only what it held itself.
type past struct {
	young, old map[string]end
	shares     map[party]int // how many of young a party held
	since      time.Duration // when young began
}

// add notes the end of a name.
func (p *past) add(name string, e end, now time.Duration) {
	if p.young == nil || len(p.young) >= maxPast || now-p.since > pastFor {
		if now-p.since > 2*pastFor {
			p.young = nil
		}
		p.young, p.old, p.shares, p.since = make(map[string]end), p.young, make(map[party]int), now
	}
	if _, again := p.young[name]; !again {
		if p.shares[e.held] >= maxPastEach {
			delete(p.old, name) // an end before this one says nothing any more
			return
		}
		p.shares[e.held]++
	}
	p.young[name] = e
}

// last returns the end of a name's last binding. Its revision is 0 if none is remembered.
func (p *past) last(name string) end {
	if e, ok := p.young[name]; ok {
		return e
	}
	return p.old[name]
}

func (p *past) forget(name string) {
	if e, ok := p.young[name]; ok {
		p.shares[e.held]--
	}
	delete(p.young, name)
	delete(p.old, name)
}
