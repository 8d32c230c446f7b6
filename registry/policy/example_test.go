package policy_test

import (
	"fmt"

	"gormi/registry/policy"
)

// A registry takes the result as its ServeOptions.Policy. rmiregistry reads the text from a file.
func ExampleParse() {
	p, err := policy.Parse("bank", `
group @tellers spiffe://bank/teller-1 spiffe://bank/teller-2
allow @local   all          *
allow @tellers bind,rebind  bank/*
allow @known   lookup,list  bank/*
deny  spiffe://bank/trainee lookup bank/vault
`)
	if err != nil {
		fmt.Println(err)
		return
	}
	teller, trainee := policy.Peer{Principal: "spiffe://bank/teller-1"}, policy.Peer{Principal: "spiffe://bank/trainee"}
	fmt.Println(p.Allows(teller, policy.Bind, "bank/alice"))
	fmt.Println(p.Explain(trainee, policy.Lookup, "bank/vault"))
	_, err = policy.Parse("bank", "allow @tellers bind bank/*")
	fmt.Println(err)
	// Output:
	// true
	// false line 6: deny spiffe://bank/trainee lookup bank/vault
	// bank:1:7: unknown group "@tellers": there is no line "group @tellers PRINCIPAL..."
}
