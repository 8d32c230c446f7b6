package callback

import (
	"fmt"
	"testing"

	"gormi/rmi/rmitest"
)

// A function of the program's that is slow holds up nothing but what needs it.
func TestNothingOfTheProgramsRunsUnderATopicsLock(t *testing.T) {
	var topic *Topic[int]
	calls := make(map[string]int)
	free := func(what string) {
		calls[what]++
		if !topic.mu.TryLock() {
			t.Errorf("the topic is locked while %s", what)
			return
		}
		topic.mu.Unlock()
	}
	key := func(n int) string {
		free("Key runs")
		return fmt.Sprint(n)
	}
	net := rmitest.New(t)
	for _, o := range []TopicOptions[int]{
		{Key: key, Latest: true, Removes: func(int) bool { free("Removes runs"); return false }},
		{Key: key, Snapshot: func() []int { free("Snapshot runs"); return []int{1, 2} }},
	} {
		owner, user := net.Node(), net.Client()
		var src Source[int]
		topic, src = pair(t, owner, user, &o)
		if _, err := topic.Publish(1); err != nil {
			t.Fatal(err)
		}
		if _, err := topic.Change(func() (int, error) { free("the function of Change runs"); return 2, nil }); err != nil {
			t.Fatal(err)
		}
		for _, src := range []Source[int]{src, topic} {
			got, _ := start(t, src, &SubscribeOptions{Start: StartSnapshot})
			for range 2 {
				if e := soon(t, got); e.Kind != KindState {
					t.Errorf("got %v %+v, want the state", e.Kind, e)
				}
			}
		}
	}
	for what, want := range map[string]int{"Key runs": 6, "Removes runs": 2, "Snapshot runs": 1, "the function of Change runs": 2} {
		if calls[what] != want {
			t.Errorf("%s %d times, want %d", what, calls[what], want)
		}
	}
}
