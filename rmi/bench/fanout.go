package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The fan-out suite: one event of 100 bytes to many subscriptions. The
// publisher runs in the server's process (of NATS too), the subscribers in
// another. The publisher keeps at most window events ahead of the slowest
// subscription, so nothing is lost and the figure is what arrived.

// broker is the publishing side of a system.
type broker interface {
	// publish sends one event to every subscription.
	publish(event []byte) error
	// address is what the subscribers' process is told.
	address() string
	close()
}

// brokers makes the publishing side of each system.
var brokers = []named{{"gormi", newGormiBroker}, {"nats", newNATSBroker}}

type named struct {
	name string
	open func() (broker, error)
}

type spread struct{ subscriptions, connections int }

func (s spread) String() string {
	return fmt.Sprintf("fanout %d over %d", s.subscriptions, s.connections)
}

var spreads = []spread{{1, 1}, {100, 1}, {10_000, 1}, {100, 100}, {10_000, 100}}

const (
	eventSize = 100
	window    = 256
)

// suiteFanout measures deliveries: a row's callers are subscriptions, its calls deliveries.
func suiteFanout(o options) ([]row, error) {
	var rows []row
	brokers := slices.DeleteFunc(slices.Clone(brokers), func(b named) bool { return !o.wantsSystem(b.name) })
	if len(brokers) == 0 {
		return nil, nil
	}
	deliveries, least := 3_000_000, 2*window
	if o.quick {
		deliveries, least = 100_000, 64
	}
	for _, s := range spreads {
		if !o.wantsWork(s.String()) {
			continue
		}
		rates := make([][]float64, len(brokers))
		bytes := make([][]float64, len(brokers))
		o.progress("suite fanout, %v", s)
		for range o.rounds {
			for i, b := range brokers {
				events := min(max(deliveries/s.subscriptions, least), 300_000)
				r, n, err := fanoutRound(b.name, b.open, s, events)
				if err != nil {
					return nil, fmt.Errorf("%s, %v: %w", b.name, s, err)
				}
				rates[i], bytes[i] = append(rates[i], r), append(bytes[i], n)
			}
		}
		for i, b := range brokers {
			r := row{System: b.name, Suite: "fanout", Work: s.String(), Callers: s.subscriptions, Transport: "tcp", Pinned: o.pin,
				CallsPerS: median(rates[i]), BytesACall: median(bytes[i]), Ratio: make(map[string]float64), Note: "deliveries"}
			for k, other := range brokers {
				if k != i {
					r.Ratio[other.name] = ratio(rates[i], rates[k])
				}
			}
			rows = append(rows, r)
		}
	}
	if !o.wantsWork("stuck") || !o.wantsSystem("gormi") {
		return rows, nil
	}
	stuck, err := besideStuck(o)
	return append(rows, stuck...), err
}

// subscribers is the other process.
type subscribers struct {
	*child
	seen int64 // events that all subscriptions got, on average
}

func startSubscribers(system, address string, s spread, args ...string) (*subscribers, error) {
	cmd, err := again("fanout-subscriber", append([]string{system, address,
		strconv.Itoa(s.subscriptions), strconv.Itoa(s.connections)}, args...)...)
	if err != nil {
		return nil, err
	}
	if path := os.Getenv(profileEnv); path != "" {
		cmd.Env = append(os.Environ(), profileEnv+"="+path+"."+system)
	}
	c, err := start(cmd)
	if err != nil {
		return nil, err
	}
	p := &subscribers{child: c}
	if line, err := p.line(patience); err != nil || line != "ready" {
		p.stop()
		return nil, fmt.Errorf("subscribers: %q, %w", line, err)
	}
	return p, nil
}

// await returns when every subscription has got n events.
func (p *subscribers) await(n int64) error {
	for p.seen < n {
		line, err := p.line(patience)
		if err != nil {
			return fmt.Errorf("subscribers: %w", err)
		}
		if p.seen, err = strconv.ParseInt(line, 10, 64); err != nil {
			return fmt.Errorf("subscribers say %q", line)
		}
	}
	return nil
}

// fanoutRound returns deliveries per second and bytes on the loopback
// interface per delivery.
func fanoutRound(system string, open func() (broker, error), s spread, events int) (rate, bytes float64, err error) {
	b, err := open()
	if err != nil {
		return 0, 0, err
	}
	defer b.close()
	p, err := startSubscribers(system, b.address(), s)
	if err != nil {
		return 0, 0, err
	}
	defer p.stop()
	event := []byte(strings.Repeat("e", eventSize))
	before, start := loopbackBytes(), time.Now()
	for i := range events {
		if err := p.await(int64(i - window + 1)); err != nil {
			return 0, 0, err
		}
		if err := b.publish(event); err != nil {
			return 0, 0, err
		}
	}
	if err := p.await(int64(events)); err != nil {
		return 0, 0, err
	}
	n := float64(events) * float64(s.subscriptions)
	return n / time.Since(start).Seconds(), (loopbackBytes() - before) / n, nil
}

// loopbackBytes is what went over the loopback interface, headers and
// acknowledgements included; 0 where the system does not tell.
func loopbackBytes() float64 {
	text, err := os.ReadFile("/proc/net/dev")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "lo:"); ok {
			n, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return n
		}
	}
	return 0
}

// besideStuck measures how long events take to the subscriptions beside one
// that never takes any, and beside none such.
func besideStuck(o options) ([]row, error) {
	s := spread{1000, 10}
	var p99 [2][]float64
	for range o.rounds {
		for i, arg := range []string{"0", "1"} {
			b, err := newGormiBroker()
			if err != nil {
				return nil, err
			}
			p, err := startSubscribers("gormi", b.address(), s, arg)
			if err != nil {
				b.close()
				return nil, err
			}
			events := 500
			if o.quick {
				events = 25
			}
			pace := time.NewTicker(4 * time.Millisecond)
			for range events {
				<-pace.C
				event := make([]byte, eventSize)
				putTime(event, time.Now())
				if err = b.publish(event); err != nil {
					break
				}
			}
			pace.Stop()
			if err == nil {
				err = p.await(int64(events))
			}
			last := p.stop()
			b.close()
			if err != nil {
				return nil, err
			}
			us, err := strconv.ParseFloat(strings.TrimPrefix(last, "p99 "), 64)
			if err != nil {
				return nil, fmt.Errorf("subscribers ended with %q", last)
			}
			p99[i] = append(p99[i], us)
		}
	}
	stuck := func(note string, p99 []float64) row {
		return row{System: "gormi", Suite: "fanout", Work: "stuck", Callers: s.subscriptions, Transport: "tcp", Pinned: o.pin,
			P99: median(p99), Ratio: make(map[string]float64), Note: note}
	}
	return []row{
		stuck("1000 subscriptions over 10 connections, all well", p99[0]),
		stuck(fmt.Sprintf("the same beside one that never returns: p99 %.2f times that", ratio(p99[1], p99[0])), p99[1]),
	}, nil
}
