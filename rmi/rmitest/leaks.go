package rmitest

import (
	"bytes"
	"context"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// patience is how long goroutines that are about to end may take.
const patience = 2 * time.Second

// labels are the labels in use, one per test. The networks of a test share it, and the last that
// ends looks for what is left.
var labels struct {
	sync.Mutex
	byTest map[testing.TB]*ownLabel
}

var labelCount atomic.Int64

// ownLabel is the profiler label of the goroutines of one test.
type ownLabel struct {
	tb       testing.TB
	value    string
	networks int // guarded by labels
}

// label labels the calling goroutine, the test's.
func label(tb testing.TB) *ownLabel {
	labels.Lock()
	defer labels.Unlock()
	l := labels.byTest[tb]
	if l == nil {
		l = &ownLabel{tb: tb, value: strconv.FormatInt(labelCount.Add(1), 10)}
		if labels.byTest == nil {
			labels.byTest = make(map[testing.TB]*ownLabel)
		}
		labels.byTest[tb] = l
	}
	l.networks++
	pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels("rmitest", l.value)))
	return l
}

// release waits for the test's goroutines that serve or make calls, and returns the stacks of those
// that are left. It does nothing while the test has another network. It runs on the test's
// goroutine.
func (l *ownLabel) release() (left string) {
	labels.Lock()
	l.networks--
	last := l.networks == 0
	if last {
		delete(labels.byTest, l.tb)
	}
	labels.Unlock()
	if !last {
		return ""
	}
	pprof.SetGoroutineLabels(context.Background())
	for deadline := time.Now().Add(patience); ; {
		left = l.goroutines()
		if left == "" || time.Now().After(deadline) {
			return left
		}
		<-time.After(time.Millisecond)
	}
}

// goroutines returns the stacks of the label's goroutines in which this module
// serves or makes calls.
func (l *ownLabel) goroutines() string {
	var b bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&b, 1); err != nil {
		return err.Error()
	}
	mine := `"rmitest":"` + l.value + `"`
	var left []string
	for stack := range strings.SplitSeq(b.String(), "\n\n") {
		if strings.Contains(stack, mine) && (strings.Contains(stack, "\tgormi/rmi.(") || strings.Contains(stack, "\tgormi/rmi/transport.(")) {
			left = append(left, stack)
		}
	}
	return strings.Join(left, "\n\n")
}
