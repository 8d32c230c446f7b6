package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// profileEnv names the file for a CPU profile to a process that this program
// starts. Set for the program itself, it is where the subscribers write theirs.
const profileEnv = "BENCH_PROFILE"

// counter counts the deliveries of one connection, on a cache line of its own.
type counter struct {
	n atomic.Int64
	_ [56]byte
}

// delivered is what a subscription does with an event.
type delivered func(event []byte)

// joins subscribe over one connection each; the function returned closes it.
var joins = map[string]func(address string, subscriptions []delivered) (func(), error){
	"gormi": joinGormi, "nats": joinNATS,
}

// fanoutSubscriber is the subscribers' process: system, address, subscriptions,
// connections, and 1 if one more subscription is to get stuck (0: latencies
// are wanted, nobody is stuck). It says ready, then how many events all
// subscriptions got on average, until its standard input ends.
func fanoutSubscriber(args []string) error {
	subscriptions, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	connections, err := strconv.Atoi(args[3])
	if err != nil {
		return err
	}
	latencies := len(args) > 4
	counters := make([]counter, connections)
	var mu sync.Mutex
	var took []time.Duration
	for c := range connections {
		n := &counters[c].n
		f := delivered(func([]byte) { n.Add(1) })
		if latencies {
			f = func(event []byte) {
				d := time.Since(getTime(event))
				mu.Lock()
				took = append(took, d)
				mu.Unlock()
				n.Add(1)
			}
		}
		all := slices.Repeat([]delivered{f}, subscriptions/connections)
		if c == 0 && latencies && args[4] == "1" {
			all = append(all, func([]byte) { select {} })
		}
		leave, err := joins[args[0]](args[1], all)
		if err != nil {
			return err
		}
		defer leave()
	}
	stop, err := profile(os.Getenv(profileEnv))
	if err != nil {
		return err
	}
	fmt.Println("ready")
	over := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(over)
	}()
	poll := time.NewTicker(500 * time.Microsecond)
	defer poll.Stop()
	for last := int64(0); ; {
		select {
		case <-over:
			stop()
			if latencies {
				mu.Lock()
				slices.Sort(took)
				if len(took) > 0 {
					fmt.Printf("p99 %.1f\n", float64(took[len(took)*99/100].Nanoseconds())/1e3)
				}
				mu.Unlock()
			}
			os.Exit(0) // nothing is left to clean up but what the system cleans up
		case <-poll.C:
		}
		least := int64(-1)
		for i := range counters {
			n := counters[i].n.Load() / int64(subscriptions/connections)
			if least < 0 || n < least {
				least = n
			}
		}
		if least != last {
			last = least
			fmt.Println(least)
		}
	}
}

func putTime(event []byte, t time.Time) {
	binary.BigEndian.PutUint64(event, uint64(t.UnixNano()))
}

func getTime(event []byte) time.Time {
	return time.Unix(0, int64(binary.BigEndian.Uint64(event)))
}
