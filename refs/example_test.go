package refs_test

import (
	"fmt"

	"gormi/refs"
)

func ExampleParse() {
	r, err := refs.Parse("rmi+ref://bank.example:7000/6ba7b810-9dad-81d1-80b4-00c04fd430c8/1700000000000000000/9f3c5d7e11aa22bb/bank.Account/-")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.Network(), r.Address(), r.Interface.Name)
	fmt.Println(r) // without the object number
	// Output:
	// tcp bank.example:7000 bank.Account
	// rmi+ref://bank.example:7000/6ba7b810/…/bank.Account
}

func ExampleParseEndpoint() {
	for _, s := range []string{"[::1]:1099", ":7000", "unix:/run/bank.sock", "bank"} {
		e, err := refs.ParseEndpoint(s)
		fmt.Printf("%q %d %v\n", e.Host, e.Port, err)
	}
	// Output:
	// "::1" 1099 <nil>
	// "" 7000 <nil>
	// "/run/bank.sock" 0 <nil>
	// "" 0 refs: the address "bank" has no port: want host:port
}

func ExampleRef_Complete() {
	blank := refs.Ref{Endpoint: refs.Endpoint{Port: 7000}, Interface: refs.Interface{Name: "bank.Account"}}

	here := blank.Complete("127.0.0.1") // from a program on this machine
	fmt.Println(here.Address(), here.Outgoing() == blank)

	there := here.Outgoing().Complete("10.0.0.5") // and on to another machine, which knows us as 10.0.0.5
	fmt.Println(there.Address())
	// Output:
	// 127.0.0.1:7000 true
	// 10.0.0.5:7000
}
