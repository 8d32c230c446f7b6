package callback_test

import (
	"context"
	"fmt"

	"gormi/callback"
	"gormi/registry"
	"gormi/rmi"
)

// exampleNodes are the processes of the examples: an owner, whose node has a
// registry too, and a client.
func exampleNodes() (owner, client *rmi.Node, names *registry.Server) {
	owner, err := rmi.Listen(context.Background(), "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	if names, err = registry.Serve(context.Background(), owner, nil); err != nil {
		panic(err)
	}
	return owner, rmi.NewNode(nil), names
}

func ExampleTopic() {
	ctx := context.Background()
	owner, client, names := exampleNodes()
	defer owner.Close()
	defer client.Close()

	quotes, err := callback.NewTopic(owner, &callback.TopicOptions[Quote]{
		Key:    func(q Quote) string { return q.Symbol },
		Latest: true, // newcomers get the newest quote of each symbol
	})
	if err != nil {
		panic(err)
	}
	if _, err := registry.Bind[callback.Source[Quote]](ctx, owner, names.URL("quotes"), quotes, nil); err != nil {
		panic(err)
	}
	for _, q := range []Quote{{"ACME", 100}, {"ZINC", 7}, {"ACME", 101}} {
		quotes.Publish(q)
	}

	for ev, err := range callback.EventsByName[Quote](ctx, client, names.URL("quotes"), &callback.SubscribeOptions{Start: callback.StartSnapshot}) {
		if err != nil {
			panic(err)
		}
		fmt.Println(ev.Kind, ev.Seq, ev.Value.Symbol, ev.Value.Cents)
		if ev.Kind == callback.KindState && ev.Seq == 3 {
			quotes.Publish(Quote{"ZINC", 8})
		}
		if ev.Kind == callback.KindPublished {
			break
		}
	}
	// Output:
	// state 2 ZINC 7
	// state 3 ACME 101
	// published 4 ZINC 8
}

func ExampleEvents() {
	owner, client, names := exampleNodes()
	defer owner.Close()
	defer client.Close()
	ctx := context.Background()
	topic, _ := callback.NewTopic(owner, &callback.TopicOptions[Quote]{Key: quoteKey})
	registry.Bind[callback.Source[Quote]](ctx, owner, names.URL("quotes"), topic, nil)
	topic.Publish(Quote{"ACME", 100})
	topic.Publish(Quote{"ZINC", 7})
	topic.Publish(Quote{"ACDC", 3})

	callback.Register[Quote]() // in an init function, if the program is to run with -tags rmi_safe
	src, err := registry.Lookup[callback.Source[Quote]](ctx, client, names.URL("quotes"), nil)
	if err != nil {
		panic(err)
	}
	for ev, err := range callback.Events(ctx, src, &callback.SubscribeOptions{Match: "AC*", Start: callback.StartOldest}) {
		if err != nil {
			panic(err)
		}
		fmt.Println(ev.Seq, ev.Value.Symbol)
		if ev.Seq == topic.Last() {
			break
		}
	}
	// Output:
	// 1 ACME
	// 3 ACDC
}

func ExampleEventsByName() {
	owner, client, names := exampleNodes()
	defer owner.Close()
	defer client.Close()
	ctx := context.Background()
	topic, _ := callback.NewTopic[string](owner, nil)
	registry.Bind[callback.Source[string]](ctx, owner, names.URL("news"), topic, nil)
	topic.Publish("hello")

	// Should the owner restart, the name is looked up again.
	for ev, err := range callback.EventsByName[string](ctx, client, names.URL("news"), &callback.SubscribeOptions{Start: callback.StartOldest}) {
		if err != nil {
			panic(err)
		}
		fmt.Println(ev.Value)
		break
	}
	// Output: hello
}

func ExampleEventsFrom() {
	owner, client, names := exampleNodes()
	defer owner.Close()
	defer client.Close()
	ctx := context.Background()
	topic, _ := callback.NewTopic[string](owner, nil)
	registry.Bind[callback.Source[string]](ctx, owner, names.URL("news"), topic, nil)
	topic.Publish("hello")

	// find is called again when the source is lost: it may ask anybody.
	find := func(ctx context.Context) (callback.Source[string], error) {
		return registry.Lookup[callback.Source[string]](ctx, client, names.URL("news"), nil)
	}
	for ev, err := range callback.EventsFrom(ctx, find, &callback.SubscribeOptions{Start: callback.StartOldest}) {
		if err != nil {
			panic(err)
		}
		fmt.Println(ev.Value)
		break
	}
	// Output: hello
}

func ExampleSubscribeByName() {
	owner, client, names := exampleNodes()
	defer owner.Close()
	defer client.Close()
	ctx := context.Background()
	topic, _ := callback.NewTopic[string](owner, nil)
	registry.Bind[callback.Source[string]](ctx, owner, names.URL("news"), topic, nil)

	got := make(chan string)
	sub, err := callback.SubscribeByName(ctx, client, names.URL("news"), func(_ context.Context, ev callback.Event[string]) error {
		got <- ev.Value
		return nil
	}, nil)
	if err != nil {
		panic(err)
	}
	topic.Publish("hello")
	fmt.Println(<-got)
	sub.Cancel(ctx)
	// Output: hello
}

func ExampleSubscribeFrom() {
	owner, client, names := exampleNodes()
	defer owner.Close()
	defer client.Close()
	ctx := context.Background()
	topic, _ := callback.NewTopic[string](owner, nil)
	registry.Bind[callback.Source[string]](ctx, owner, names.URL("news"), topic, nil)

	find := func(ctx context.Context) (callback.Source[string], error) {
		return registry.Lookup[callback.Source[string]](ctx, client, names.URL("news"), nil)
	}
	got := make(chan string)
	sub, err := callback.SubscribeFrom(ctx, find, func(_ context.Context, ev callback.Event[string]) error {
		got <- ev.Value
		return nil
	}, nil)
	if err != nil {
		panic(err)
	}
	topic.Publish("hello")
	fmt.Println(<-got)
	sub.Cancel(ctx)
	// Output: hello
}

func ExampleRegister() {
	// In an init function of a program that is to run with -tags rmi_safe too.
	callback.Register[Quote]()
	fmt.Println("registry.Lookup[callback.Source[Quote]] works in every build now")
	// Output: registry.Lookup[callback.Source[Quote]] works in every build now
}

func ExampleSubscribe() {
	owner, err := rmi.Listen(context.Background(), "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer owner.Close()
	ctx := context.Background()
	topic, _ := callback.NewTopic[string](owner, nil)
	done := make(chan struct{})
	sub, err := callback.Subscribe(ctx, topic, func(_ context.Context, ev callback.Event[string]) error {
		fmt.Println(ev.Value)
		if ev.Value == "goodbye" {
			close(done)
		}
		return nil
	}, nil)
	if err != nil {
		panic(err)
	}
	topic.Publish("hello")
	topic.Publish("goodbye")
	<-done
	sub.Cancel(ctx)
	// Output:
	// hello
	// goodbye
}

func ExampleListeners() {
	ctx := context.Background()
	owner, client, names := exampleNodes()
	defer owner.Close()
	defer client.Close()

	// The owner: a remote object with a set of listeners.
	listeners := callback.NewListeners[func(context.Context, string) error](owner, nil)
	defer listeners.Close()
	watch := func(_ context.Context, f func(context.Context, string) error) (callback.Subscription, error) {
		return listeners.Add(f)
	}
	if _, err := registry.Bind(ctx, owner, names.URL("watch"), watch, nil); err != nil {
		panic(err)
	}

	// The client passes a function.
	subscribe, err := registry.Lookup[func(context.Context, func(context.Context, string) error) (callback.Subscription, error)](ctx, client, names.URL("watch"), nil)
	if err != nil {
		panic(err)
	}
	heard := make(chan string)
	sub, err := subscribe(ctx, func(_ context.Context, text string) error {
		heard <- text
		return nil
	})
	if err != nil {
		panic(err)
	}
	listeners.Notify(func(ctx context.Context, f func(context.Context, string) error) error { return f(ctx, "ping") })
	fmt.Println(<-heard)
	fmt.Println(sub.Cancel(ctx), listeners.Len())
	// Output:
	// ping
	// <nil> 0
}

func ExampleTopic_Change() {
	owner := rmi.NewNode(nil)
	defer owner.Close()
	shapes := []string{"circle"} // changed in Change only
	topic, _ := callback.NewTopic(owner, &callback.TopicOptions[string]{Snapshot: func() []string { return shapes }})
	draw := func(s string) {
		topic.Change(func() (string, error) {
			shapes = append(shapes, s)
			return s, nil
		})
	}
	for ev, err := range callback.Events(context.Background(), topic, &callback.SubscribeOptions{Start: callback.StartSnapshot}) {
		if err != nil {
			panic(err)
		}
		fmt.Println(ev.Kind, ev.Value)
		if ev.Value == "square" {
			break
		}
		draw("square")
	}
	// Output:
	// state circle
	// published square
}
