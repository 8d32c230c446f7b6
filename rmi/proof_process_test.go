package rmi_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gormi/refs"
	"gormi/rmi"
	"gormi/rmi/rmitest/proctest"
)

// provenEnv makes TestProvenServer a server: "address|log".
const provenEnv = "GORMI_PROVEN_SERVER"

// provenObject is the number of the server's object, so that a client finds it
// in whichever process listens.
const provenObject refs.ObjNum = 4242

// TestProvenServer is no test: it is the server of the proofs below, in a
// process of its own. It writes the id of each call to a log and on to the disk
// before it answers.
func TestProvenServer(t *testing.T) {
	addr, path, ok := strings.Cut(os.Getenv(provenEnv), "|")
	if !ok {
		t.Skip("started by other tests")
	}
	log, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	enter := func(id int64) error {
		if _, err := log.Write(fmt.Appendf(nil, "%d\n", id)); err != nil {
			return err
		}
		return log.Sync()
	}
	n := rmi.NewNode(nil)
	export[Worker](t, n, &worker{
		do: func(ctx context.Context, id int64) (int64, error) {
			if err := enter(id); err != nil {
				return 0, err
			}
			return id, work(ctx, time.Duration(id%16)*time.Millisecond) // it may be killed here
		},
		bytes: func(_ context.Context, b []byte) ([]byte, error) {
			return b, enter(int64(binary.BigEndian.Uint64(b)))
		},
		// Ends when the process was told to end.
		apply: func(ctx context.Context, f Func, id int64) (int64, error) {
			if _, err := f(ctx, id); err != nil {
				return 0, err
			}
			<-n.Context().Done()
			return id, enter(id)
		},
	}, &rmi.ExportOptions{Number: provenObject})
	// Not before: a call in between would find no object.
	at, err := n.Listen(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	fmt.Printf("\nserving %s\n", at)
	if err := n.Run(ctx); err != nil {
		t.Fatal(err)
	}
}

// proven is a server in a process of its own, which can be ended and started
// again in the same place.
type proven struct {
	t       *testing.T
	addr    string
	log     string
	process *proctest.Process

	mu sync.Mutex // guards up
	up chan struct{}
}

// prove starts a server and returns a proxy of its object on n.
func prove(t *testing.T, n *rmi.Node) (*proven, Worker) {
	t.Helper()
	p := &proven{t: t, addr: "127.0.0.1:0", log: filepath.Join(t.TempDir(), "log"), up: make(chan struct{})}
	p.start()
	t.Cleanup(p.kill)
	at, err := refs.ParseEndpoint(p.addr)
	if err != nil {
		t.Fatal(err)
	}
	return p, resolve[Worker](t, n, refs.WellKnown(at, provenObject))
}

// start returns when the server listens.
func (p *proven) start() {
	p.t.Helper()
	p.process = proctest.Start(p.t, proctest.Self("TestProvenServer", provenEnv+"="+p.addr+"|"+p.log))
	p.addr = p.process.Says("serving ")
	p.mu.Lock()
	close(p.up)
	p.mu.Unlock()
}

// kill ends the process as kill -9 does, and returns when it is gone.
func (p *proven) kill() {
	if p.process == nil {
		return
	}
	p.mu.Lock()
	p.up = make(chan struct{})
	p.mu.Unlock()
	p.process.Kill()
	p.process = nil
}

// listens waits until the process that is there or to come listens.
func (p *proven) listens(ctx context.Context) {
	p.mu.Lock()
	up := p.up
	p.mu.Unlock()
	select {
	case <-up:
	case <-ctx.Done():
	}
}

// ledger is what ran, as the log says. The server must be gone.
func (p *proven) ledger() *ledger {
	p.t.Helper()
	b, err := os.ReadFile(p.log)
	if err != nil {
		p.t.Fatal(err)
	}
	l := new(ledger)
	for line := range strings.Lines(string(b)) {
		id, err := strconv.ParseInt(strings.TrimSuffix(line, "\n"), 10, 64)
		if err != nil {
			p.t.Fatalf("the log has the line %q", line)
		}
		l.enter(id)
	}
	return l
}

// The server is killed again and again during calls that write their ids to the
// disk. What was not executed is made again, under another id.
func TestProofKilledServer(t *testing.T) {
	every, calls := 500*time.Millisecond, int64(size(1000, 5000))
	if long {
		every = 2 * time.Second
	}
	caller := quiet(t, new(rmi.Options))
	server, w := prove(t, caller)
	ctx := duration(t, 10*time.Minute)
	var told tally
	var decided, ids atomic.Int64
	var workers sync.WaitGroup
	finished := make(chan struct{})
	for c := range uint64(16) {
		workers.Go(func() {
			random := draw(1, c)
			for decided.Load() < calls && ctx.Err() == nil {
				id := ids.Add(1)
				err := provenCall(ctx, w, id, random)
				told.note(id, err)
				if rmi.OutcomeOf(err) == rmi.OutcomeNotExecuted {
					server.listens(ctx)
					continue
				}
				decided.Add(1)
			}
		})
	}
	go func() { // ends with the workers
		workers.Wait()
		close(finished)
	}()
	kills := 0
	for killing := true; killing; {
		select {
		case <-time.After(every):
			server.kill()
			kills++
			server.start()
		case <-finished:
			killing = false
		}
	}
	server.kill()
	ran := server.ledger()
	told.check(t, ran)
	c, lost := told.counts(), 0
	for id, err := range told.failed {
		if rmi.OutcomeOf(err) == rmi.OutcomeUnknown {
			lost += ran.times(id)
		}
		switch rmi.KindOf(err) {
		case rmi.KindPeerGone, rmi.KindConnectFailed, rmi.KindStaleReference:
		default:
			t.Errorf("call %d: %v", id, err)
		}
	}
	figure(t, "%d kills; %d calls decided: %v; of the unknown %d ran", kills, decided.Load(), c, lost)
	if kills < 2 || lost == 0 || decided.Load() < calls { // what was not executed is made again by the node itself
		t.Errorf("%d calls, %d kills: this proves nothing", decided.Load(), kills)
	}
}

// provenCall is a call that the server logs: small, or in fragments, or after a moment.
func provenCall(ctx context.Context, w Worker, id int64, random *rand.Rand) error {
	if err := work(ctx, time.Duration(random.IntN(120))*time.Millisecond); err != nil {
		return &rmi.Error{Kind: rmi.KindCancelled, Outcome: rmi.OutcomeNotExecuted, Err: err}
	}
	if random.IntN(20) > 0 {
		n, err := w.Do(ctx, id)
		if err == nil && n != id {
			err = fmt.Errorf("call %d returned %d", id, n)
		}
		return err
	}
	b := make([]byte, 8+random.IntN(200<<10))
	binary.BigEndian.PutUint64(b, uint64(id))
	got, err := w.Bytes(ctx, b)
	if err == nil && len(got) != len(b) {
		err = fmt.Errorf("call %d returned %d bytes", id, len(got))
	}
	return err
}
