// Package policy says who may do what with the names of a registry.
//
// A policy is a text with a rule on each line:
//
//	# Tellers serve the accounts; everybody with a certificate may call them.
//	group @tellers spiffe://bank/teller-1 spiffe://bank/teller-2 "Head Teller"
//	allow @local   all          *
//	allow @tellers bind,rebind  bank/*
//	allow @known   lookup,list  bank/*
//	deny  spiffe://bank/trainee lookup bank/vault
//
// # Rules
//
//  1. A line is a rule "allow WHO WHAT NAME..." or "deny WHO WHAT NAME...", or it is "group
//     @GROUP PRINCIPAL...", or it is blank. Words have blanks between them. A word that begins
//     with # begins a comment.
//  2. WHO is a principal as rmi.PeerInfo has it, letter for letter ("spiffe://bank/teller",
//     "uid:1000", "anonymous"), or a group. A principal with blanks, or one that begins with @
//     or #, stands in quotation marks; there \" is a quotation mark and \\ a backslash.
//  3. A group is the principals that lines "group" give to it. Its name begins with @. Three
//     groups are there already: @local is the peers of the same machine (rmi.PeerInfo.Local),
//     @known those whose principal is not anonymous, and @everyone all.
//  4. WHAT is one or more of bind, rebind, unbind, lookup, list, watch and admin, with commas
//     between them, or "all".
//  5. NAME is a name ("bank/alice"), or the beginning of names with a * behind it ("bank/*", "*").
//  6. Among the rules for a peer and what it wants to do, those for the name itself decide. If
//     there are none, those for the longest beginning of the name do. If these disagree, deny
//     beats allow. What no rule allows is denied.
//  7. A text that breaks these rules, or has no rule at all, is refused as a whole, with the
//     line and the column. So is an unknown word or an unknown group.
//
// # What the words permit
//
// To bind takes bind on a free name, and rebind on one that somebody else has. To unbind what
// somebody else has takes unbind. Whoever holds a name may rebind it with either of bind and
// rebind, and may unbind it whatever the policy says. Who may neither bind nor rebind a name
// does not keep it either: its lease is not renewed. Package registry says who holds a name.
// lookup is of a name, and a list has the names that the peer may list. watch and admin are for
// calls that a registry does not have yet.
//
// # Without a policy
//
// [Default] is what a registry goes by that was given none: peers of the same machine may do
// everything; others with a principal may bind, look up and list; anonymous ones may do nothing.
//
// # Cost
//
// A Policy does not change, and is safe for concurrent use. With 10,000 rules [Policy.Allows] takes
// about 150 ns and allocates nothing (BenchmarkAllows).
package policy
