package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
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
	make func() (broker, error)
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

func fanout(o options) ([]row, error) {
	var rows []row
	brokers := brokers
	if o.system != "" {
		brokers = slices.DeleteFunc(slices.Clone(brokers), func(b named) bool { return b.name != o.system })
	}
	deliveries := 3_000_000
	if o.quick {
		deliveries = 200_000
	}
	for _, s := range spreads {
		if !strings.Contains(s.String(), o.works) {
			continue
		}
		rates := make([][]float64, len(brokers))
		bytes := make([][]float64, len(brokers))
		for range o.rounds {
			for i, b := range brokers {
				events := min(max(deliveries/s.subscriptions, 2*window), 300_000)
				r, n, err := fanoutRound(b.name, b.make, s, events)
				if err != nil {
					return nil, fmt.Errorf("%s, %v: %w", b.name, s, err)
				}
				rates[i], bytes[i] = append(rates[i], r), append(bytes[i], n)
			}
		}
		for i, b := range brokers {
			r := row{System: b.name, Suite: "fanout", Work: s.String(),
				Values: map[string]float64{"deliveries/s": median(rates[i]), "loopback bytes a delivery": median(bytes[i])}}
			if i == 0 && len(brokers) > 1 {
				r.Ratio = map[string]float64{brokers[1].name: ratio(rates[0], rates[1])}
			}
			rows = append(rows, r)
		}
	}
	if !strings.Contains("stuck", o.works) || o.system == "nats" {
		return rows, nil
	}
	stuck, err := besideStuck(o)
	return append(rows, stuck...), err
}

// subscribers is the other process.
type subscribers struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Scanner
	seen int64 // deliveries of the slowest subscription's worth: total / subscriptions
}

func startSubscribers(system, address string, s spread, args ...string) (*subscribers, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(exe, append([]string{"-role", "fanout-subscriber", system, address,
		strconv.Itoa(s.subscriptions), strconv.Itoa(s.connections)}, args...)...)
	cmd.Stderr = os.Stderr
	if path := os.Getenv(profileEnv); path != "" {
		cmd.Env = append(os.Environ(), profileEnv+"="+path+"."+system)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &subscribers{cmd: cmd, in: in, out: bufio.NewScanner(out)}
	if line, err := p.line(); err != nil || line != "ready" {
		p.stop()
		return nil, fmt.Errorf("subscribers: %q, %w", line, err)
	}
	return p, nil
}

func (p *subscribers) line() (string, error) {
	if !p.out.Scan() {
		if err := p.out.Err(); err != nil {
			return "", err
		}
		return "", io.ErrUnexpectedEOF
	}
	return p.out.Text(), nil
}

// await returns when every subscription has got n events.
func (p *subscribers) await(n int64) error {
	for p.seen < n {
		line, err := p.line()
		if err != nil {
			return fmt.Errorf("subscribers: %w", err)
		}
		if p.seen, err = strconv.ParseInt(line, 10, 64); err != nil {
			return fmt.Errorf("subscribers say %q", line)
		}
	}
	return nil
}

// stop ends the process; it returns what it printed last.
func (p *subscribers) stop() string {
	p.in.Close()
	last := ""
	for p.out.Scan() {
		last = p.out.Text()
	}
	_ = p.cmd.Wait()
	return last
}

// fanoutRound returns deliveries per second and bytes on the loopback
// interface per delivery.
func fanoutRound(system string, make func() (broker, error), s spread, events int) (rate, bytes float64, err error) {
	b, err := make()
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
				events = 50
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
	return []row{
		{System: "gormi", Suite: "fanout", Work: "1000 over 10, all well", Values: map[string]float64{"p99 µs": median(p99[0])}},
		{System: "gormi", Suite: "fanout", Work: "1000 over 10, beside one stuck", Values: map[string]float64{"p99 µs": median(p99[1])},
			Ratio: map[string]float64{"all well": ratio(p99[1], p99[0])}},
	}, nil
}
