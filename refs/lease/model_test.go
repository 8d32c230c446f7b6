package lease_test

import (
	"flag"
	"os"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gormi/refs"
	"gormi/refs/lease"
)

// The model: nodes that hand references to each other over a network that
// delivers in any order, delivers batches more than once and late, and loses
// batches and answers. (Frames are lost only with their session, or taken back by
// their sender: that much transport promises.) Failures come one at a time, as
// the promise has it: whoever has to find an owner gets to do so within the lease.
type world struct {
	t     *rapid.T
	now   time.Time
	nodes []*node
	mail  []*message
	born  byte // node ids and object numbers
	count refs.ObjNum

	collected, handed, closed, resolved int // what happened, for the test to see that it did
}

// node is one incarnation of a node.
type node struct {
	i       int
	id      refs.NodeID
	gone    bool
	holder  *lease.Holder[*end]
	grants  lease.Grants[*end]
	objects map[refs.ObjNum]bool // given at some time; false: found to be collected
	ends    []*end               // live ones
	proxies map[refs.ID]int
	values  map[refs.ID]time.Time // references as values, and when they came last
	broken  map[refs.ID]bool      // the promise is over: the only way to the owner is lost for longer than a lease
}

// end is one end of a session.
type end struct {
	node, peer *node
	other      *end
	over       bool
	in         lease.Intake
}

func (e *end) Peer() refs.NodeID { return e.peer.id }

// message is a frame, a batch, or the answer to a batch.
type message struct {
	from *end

	refs  []refs.Ref
	legal []bool // the sender held it, so the receiver may rely on it

	batch *lease.Batch

	answers uint64 // number of the batch
	missing []uint32
}

const leaseTime = time.Minute

func newWorld(t *rapid.T, n int) *world {
	w := &world{t: t, now: time.Unix(1e9, 0), count: refs.ReservedObjects}
	for i := range n {
		w.nodes = append(w.nodes, w.bear(i))
	}
	return w
}

func (w *world) bear(i int) *node {
	w.born++
	n := &node{i: i, id: refs.NodeID{15: w.born}, objects: make(map[refs.ObjNum]bool), proxies: make(map[refs.ID]int), values: make(map[refs.ID]time.Time), broken: make(map[refs.ID]bool)}
	n.holder = lease.NewHolder[*end](n.id, 1000, func() time.Time { return w.now })
	return n
}

// session returns n's end of its session with m, which it makes if there is none.
func (w *world) session(n, m *node) *end {
	for _, e := range n.ends {
		if e.peer == m {
			return e
		}
	}
	a, b := &end{node: n, peer: m}, &end{node: m, peer: n}
	a.other, b.other = b, a
	n.ends, m.ends = append(n.ends, a), append(m.ends, b)
	return a
}

func (w *world) owner(id refs.ID) *node {
	for _, n := range w.nodes {
		if n.id == id.Node {
			return n
		}
	}
	return nil
}

func (w *world) draw(what string, n int) int { return rapid.IntRange(0, n-1).Draw(w.t, what) }

func (w *world) node(what string) *node { return w.nodes[w.draw(what, len(w.nodes))] }

// choose draws one of some ids, in an order that does not depend on maps.
func choose[V any](w *world, what string, m map[refs.ID]V) (refs.ID, bool) {
	if len(m) == 0 {
		return refs.ID{}, false
	}
	var ids []refs.ID
	for id := range m {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b refs.ID) int { return int(a.Object) - int(b.Object) })
	return ids[w.draw(what, len(ids))], true
}

// send sends a frame with some references.
func (w *world) send() {
	from := w.node("from")
	to := w.node("to")
	if from == to {
		return
	}
	e := w.session(from, to)
	m := &message{from: e}
	for range 1 + w.draw("references", 3) {
		r, legal := refs.Ref{}, true
		if id, ok := choose(w, "proxy", from.proxies); ok && w.draw("kind", 3) > 0 {
			r.ID, legal = id, !from.broken[id]
			r.Port = 1
			from.holder.Hand(e, r, false)
			w.handed++
		} else {
			r.Port = 1
			r.ID = refs.ID{Node: from.id, Object: w.count}
			if w.draw("new", 2) == 0 || !from.grants.Held(r.ID.Object) {
				w.count++
				r.ID.Object = w.count
			}
			from.objects[r.ID.Object] = true
			from.grants.Give(e, r.ID.Object, w.now)
		}
		m.refs, m.legal = append(m.refs, r), append(m.legal, legal)
	}
	w.mail = append(w.mail, m)
}

// take takes a message out of the mail.
func (w *world) take(i int) *message {
	m := w.mail[i]
	w.mail = slices.Delete(w.mail, i, i+1)
	return m
}

// uncount has a frame's sender find that it was never taken in.
func (w *world) uncount() {
	if len(w.mail) == 0 {
		return
	}
	i := w.draw("mail", len(w.mail))
	if m := w.mail[i]; m.refs != nil {
		w.take(i)
		for _, r := range m.refs {
			if n := m.from.node; r.ID.Node == n.id {
				n.grants.Take(m.from, r.ID.Object, 1)
			} else {
				n.holder.Unhand(m.from, r.ID)
			}
		}
	}
}

// lose loses a batch or an answer.
func (w *world) lose() {
	if len(w.mail) == 0 {
		return
	}
	if i := w.draw("mail", len(w.mail)); w.mail[i].refs == nil {
		w.take(i)
	}
}

func (w *world) deliverAny() {
	if len(w.mail) > 0 {
		w.deliver(w.take(w.draw("mail", len(w.mail))), func() bool { return w.draw("keep", 2) == 0 })
	}
}

func (w *world) deliver(m *message, keep func() bool) {
	e := m.from.other
	n := e.node
	switch {
	case m.refs != nil:
		if err := n.holder.Receive(e, m.refs); err != nil {
			w.t.Fatal(err)
		}
		for i, r := range m.refs {
			if r.ID.Node == n.id {
				if m.legal[i] && !n.grants.Held(r.ID.Object) {
					w.t.Fatalf("object %d came home and is collected", r.ID.Object)
				}
				continue
			}
			if n.proxies[r.ID] == 0 && len(m.refs)%2 == 0 && keep() { // as a value
				if w.stale(n, r.ID) {
					n.broken[r.ID] = false
				}
				n.values[r.ID] = w.now
				n.broken[r.ID] = n.broken[r.ID] || !m.legal[i]
				n.holder.Keep(r.ID)
				continue
			}
			if keep() {
				if _, ok := n.proxies[r.ID]; !ok {
					n.holder.Pin(r)
					if w.stale(n, r.ID) {
						n.broken[r.ID] = false
					}
				}
				n.proxies[r.ID]++
				n.broken[r.ID] = n.broken[r.ID] || !m.legal[i]
			}
		}
		n.holder.Decoded(m.refs)
	case m.batch != nil:
		b := m.batch
		missing := e.in.Take(b.Number, func() (missing []uint32) {
			for _, c := range b.Own {
				n.grants.Take(e, c.Object, c.N)
			}
			n.holder.GivenBack(e, b.Others)
			for i, o := range b.Register {
				if n.grants.Held(o) {
					n.grants.Give(e, o, w.now)
				} else {
					missing = append(missing, uint32(i))
				}
			}
			return missing
		})
		w.mail = append(w.mail, &message{from: e, answers: b.Number, missing: missing})
	default:
		if b := n.holder.Next(e); b != nil && b.Number == m.answers {
			n.holder.Done(e, m.missing)
		}
	}
}

// stale reports whether a node has no value of a reference that it relies on.
func (w *world) stale(n *node, id refs.ID) bool {
	came, ok := n.values[id]
	return !ok || w.now.Sub(came) >= lease.KeepFor
}

// resolve makes a proxy of a value.
func (w *world) resolve() {
	n := w.node("node")
	id, ok := choose(w, "value", n.values)
	if !ok {
		return
	}
	if !w.stale(n, id) {
		if _, ok := n.proxies[id]; !ok {
			n.holder.Pin(refs.Ref{ID: id, Endpoint: refs.Endpoint{Port: 1}})
		}
		n.proxies[id]++
		n.holder.Taken(id)
		w.resolved++
	}
	delete(n.values, id)
}

// drop has a node's program forget a proxy.
func (w *world) drop() {
	n := w.node("node")
	if id, ok := choose(w, "proxy", n.proxies); ok {
		n.drop(id)
	}
}

func (n *node) drop(id refs.ID) {
	if _, ok := n.proxies[id]; ok {
		delete(n.proxies, id)
		n.holder.Unpin(id)
	}
}

// tick does what a node's keeper does now and then. Batches that are not
// answered yet are sent again.
func (w *world) tick(n *node) {
	n.grants.Expire(w.now)
	n.holder.Expire(w.now)
	for _, e := range n.ends {
		if slices.Contains(n.holder.Wanting(), e.Peer()) {
			n.holder.Ask(e)
		}
	}
	due := n.holder.Due()
	for _, e := range n.ends {
		if slices.Contains(due, e) {
			w.mail = append(w.mail, &message{from: e, batch: n.holder.Next(e)})
		}
	}
}

// register lets everybody register who can.
func (w *world) register() {
	for again, rounds := true, 0; again; rounds++ {
		if again = false; rounds > 100 {
			w.t.Fatal("the nodes do not come to rest")
		}
		for _, n := range w.nodes {
			w.tick(n)
		}
		for i := 0; i < len(w.mail); {
			if w.mail[i].refs != nil {
				i++
				continue
			}
			again = true
			w.deliver(w.take(i), nil)
		}
	}
}

// find gives a node sessions with the owners of references.
func (w *world) find(n *node, orphans []refs.Ref) {
	for _, r := range orphans {
		if o := w.owner(r.ID); o != nil && o != n {
			w.session(n, o)
		}
	}
}

// close ends a session at one end.
func (w *world) close(e *end) {
	if e.over {
		return
	}
	e.over = true
	n := e.node
	n.ends = slices.DeleteFunc(n.ends, func(x *end) bool { return x == e })
	n.grants.Gone(e, w.now.Add(leaseTime))
	w.find(n, n.holder.Gone(e, w.now.Add(leaseTime)))
	w.mail = slices.DeleteFunc(w.mail, func(m *message) bool { return m.from == e || m.from == e.other })
}

// protected lists the nodes that hold an object by a count of its owner's, or
// through another that does.
func (w *world) protected() map[*node]map[refs.ID]bool {
	all := make(map[*node]map[refs.ID]bool)
	for _, n := range w.nodes {
		all[n] = make(map[refs.ID]bool)
	}
	for changed := true; changed; {
		changed = false
		for _, n := range w.nodes {
			for _, x := range n.holder.All() {
				for _, f := range x.From {
					if p := f.Session.peer; !all[n][x.Ref.ID] && (p.id == x.Ref.ID.Node || all[p][x.Ref.ID]) {
						all[n][x.Ref.ID], changed = true, true
					}
				}
			}
		}
	}
	return all
}

// part ends a session for good while both nodes live on.
func (w *world) part() {
	n := w.node("node")
	if len(n.ends) == 0 {
		return
	}
	w.register()
	e := n.ends[w.draw("session", len(n.ends))]
	before := w.protected()
	// Cut: those in the middle are passed by, as long as the lease lasts.
	w.find(e.node, e.node.holder.Cut(e))
	w.find(e.peer, e.peer.holder.Cut(e.other))
	w.register()
	ends := []*end{e, e.other}
	if w.draw("first", 2) == 0 {
		slices.Reverse(ends)
	}
	for _, x := range ends {
		w.close(x)
	}
	after := w.protected()
	for n, ids := range before {
		uses := make(map[refs.ID]bool)
		for _, x := range n.holder.All() {
			uses[x.Ref.ID] = true
		}
		for id := range ids {
			if !after[n][id] && uses[id] && n.id != id.Node {
				// The session with the owner was the only way, for it or for those in the middle.
				if id.Node != e.node.id && id.Node != e.peer.id {
					w.t.Fatalf("node %d lost object %d, whose owner the cut was not about", n.i, id.Object)
				}
				n.broken[id] = true
				for _, m := range w.mail {
					for i, r := range m.refs {
						if m.from.node == n && r.ID == id {
							m.legal[i] = false
						}
					}
				}
			}
		}
	}
}

// end ends a node, in good order or not, and puts a new one in its place.
func (w *world) end() {
	n := w.node("node")
	w.register()
	w.closed++
	if w.draw("orderly", 2) == 0 {
		for e, f := range n.holder.Farewells() {
			e.peer.grants.Linger(e.other, f.Own)
			e.peer.holder.Linger(e.other, f.Others)
		}
	} else {
		for _, e := range n.ends {
			w.find(e.peer, slices.DeleteFunc(e.peer.holder.Cut(e.other), func(r refs.Ref) bool { return r.ID.Node == n.id }))
		}
		w.register()
	}
	n.gone = true
	w.nodes[n.i] = w.bear(n.i)
	for _, e := range rapid.Permutation(slices.Clone(n.ends)).Draw(w.t, "order") {
		w.close(e.other)
	}
	for _, m := range w.nodes {
		for id := range m.proxies {
			if id.Node == n.id {
				m.drop(id) // of a dead owner: nothing is promised
			}
		}
		for id := range m.values {
			if id.Node == n.id {
				delete(m.values, id)
			}
		}
	}
}

// pass lets time pass, but not before those who have to register did.
func (w *world) pass() {
	w.register()
	w.now = w.now.Add(leaseTime / 2)
}

// check is the promise.
func (w *world) check() {
	for _, n := range w.nodes {
		for o, there := range n.objects {
			if there && !n.grants.Held(o) {
				n.objects[o] = false
				w.collected++
			}
		}
		for id := range n.proxies {
			if o := w.owner(id); o != nil && !n.broken[id] && !o.grants.Held(id.Object) {
				w.t.Fatalf("object %d of node %d was collected under node %d", id.Object, o.i, n.i)
			}
		}
		for id := range n.values {
			if o := w.owner(id); o != nil && !w.stale(n, id) && !n.broken[id] && !o.grants.Held(id.Object) {
				w.t.Fatalf("object %d of node %d was collected while node %d could still want it", id.Object, o.i, n.i)
			}
		}
	}
}

// rest drops everything and checks that everything is collected within two leases.
func (w *world) rest() {
	for _, n := range w.nodes {
		for id := range n.proxies {
			n.drop(id)
		}
	}
	for i := 0; i < len(w.mail); {
		if w.mail[i].refs == nil {
			i++
			continue
		}
		w.deliver(w.take(i), func() bool { return false })
	}
	for range 4 {
		for _, n := range w.nodes { // who lost an owner that lives meets it again
			for _, x := range n.holder.All() {
				w.find(n, []refs.Ref{x.Ref})
			}
		}
		w.register()
		w.now = w.now.Add(leaseTime / 2)
	}
	w.register()
	for _, n := range w.nodes {
		if held := n.grants.All(); len(held) > 0 {
			w.t.Errorf("node %d: nobody holds these, and they are not collected: %v", n.i, held)
		}
		held := slices.DeleteFunc(n.holder.All(), func(x lease.Held[*end]) bool { return w.owner(x.Ref.ID) == nil })
		if len(held) > 0 {
			w.t.Errorf("node %d holds what nobody uses: %v", n.i, held)
		}
	}
}

func TestProofCollection(t *testing.T) {
	sequences := "1000" // in some seconds
	if os.Getenv("RMI_LONG") != "" {
		sequences = "10000"
	}
	was := flag.Lookup("rapid.checks").Value.String()
	flag.Set("rapid.checks", sequences)
	defer flag.Set("rapid.checks", was)
	for name, nodes := range map[string]int{"two nodes": 2, "three nodes": 3, "four nodes": 4} {
		t.Run(name, func(t *testing.T) {
			var collected, handed, closed, resolved, sequences int
			rapid.Check(t, func(t *rapid.T) {
				w := newWorld(t, nodes)
				for range rapid.IntRange(1, 120).Draw(t, "steps") {
					switch k := w.draw("step", 40); {
					case k < 9:
						w.send()
					case k < 22:
						w.deliverAny()
					case k < 28:
						w.drop()
					case k < 30:
						w.resolve()
					case k < 34:
						w.tick(w.node("node"))
					case k < 36:
						w.lose()
					case k < 37:
						w.uncount()
					case k < 38:
						w.pass()
					case k < 39:
						w.part()
					default:
						w.end()
					}
					w.check()
				}
				w.rest()
				collected, handed, closed, resolved, sequences = collected+w.collected, handed+w.handed, closed+w.closed, resolved+w.resolved, sequences+1
			})
			t.Logf("figure: %d sequences, %d objects collected while others lived, %d references handed on, %d nodes ended, %d proxies made of values", sequences, collected, handed, closed, resolved)
			if collected == 0 || handed == 0 || closed == 0 || resolved == 0 {
				t.Error("the sequences did not get to what they are for")
			}
		})
	}
}
