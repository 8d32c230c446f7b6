// Package lease counts references: Grants are those that an owner gave out to its objects, a Holder
// those that a node holds to others'. Nothing here does I/O, starts a goroutine or waits; package
// rmi moves what the tables say.
//
// The design is that of Network Objects (Birrell, Evers, Nelson, Owicki, Wobber: Distributed
// Garbage Collection for Network Objects, 1993), with counts per session in place of sets: a count
// needs no message when a reference is given, only when it is given back.
//
// # What is promised
//
//  1. An object is not collected while a live node holds a reference to it that it got from the
//     owner, or from a node that held one, and did not give back.
//  2. It can be collected once nobody does: at the latest when what was given back has arrived, and
//     one lease after the sessions of those that vanished were cut, or that closed having handed it
//     on.
//
// A session is the lease. It survives its connection by being resumed, for the time of a lease, and
// when it is over for good all that was given on it is given back. There is no other message that
// renews a hold and could be lost.
//
// # Who counts what
//
// Each entry of a frame's table of references is one reference given to the frame's receiver,
// whatever becomes of the frame's body, unless it names a well-known object without node. Its
// sender counts it when it encodes it, and takes it back if the frame was never taken in; the
// receiver counts it when it reads the table:
//
//	the sender is the owner     Grants[session][object] = given - given back
//	the sender is not           Holder.handed[session][object] = handed on - given back, a pin of the sender's own hold
//	the receiver                Holder.from[session] of the object's entry; it keeps those of one session
//
// A reference that comes home to its owner counts like any other, and is given back as soon as it
// was decoded: until then its sender keeps its hold, so that the object is still there when a frame
// that was long in coming is decoded. A node may hand on what it does not hold itself, as
// registries do; it counts that too, or what a peer gives back for it could be taken for what it
// gives back for a later hand-on.
//
// An entry of a Holder lives while something here uses it:
//
//	pins   = proxies + packets + calls being relayed + offers (names that this node bound)
//	frames = tables being decoded that name it
//	handed = sessions that it was handed on to and that did not give it back
//
// When all are 0, what was received is given back to whom it came from. A reference that was
// received and that no proxy was made of goes back in the next batch, without any further care.
//
// One that became a plain value (refs.Ref) holds nothing, and who got it may yet make a proxy of
// it. So if it outlasts its table, as results do, it is kept, until it is pinned, for 30 s to a
// minute (Keep, Taken). A registry is handed references and holds none: it gives them back and
// keeps their bytes. So what is bound is kept by who binds it, for as long as the name is bound
// (rule W-152 of package wire): its own object by a pin, another's by a hold of its own.
//
// # Giving back and registering
//
// What is due on a session is one batch at a time, numbered (Holder.Next, Done). A batch whose
// answer is late is sent again under its number, and Intake takes a number in once, so that lost
// and late answers neither take too much nor leave anything counted. Batches carry differences, so
// they may cross references on their way: what was given meanwhile is not in them.
//
// Who got a reference from a third node registers with the owner once it has a session with it
// (Ask): the owner counts one for it (Dirty), and only then is the third node's count given back.
// The third node keeps its hold until then. If the owner cannot be reached, as it listens nowhere,
// the third node stays in the middle and relays the calls.
//
// # When a node goes
//
// When the connection to whom a reference came from is cut, its receiver looks for the owners of
// what it holds through that session only (Cut) while the session can still be resumed, so while
// the hold in the middle still stands; and again when it is over (Gone). A node that closes in good
// order asks those whose references it handed on to keep them for one lease more (Linger), which is
// the time that the others have to register.
//
// Cycles of objects across nodes are not collected. And when an owner is lost, nodes that passed a
// reference to its object around may keep the entries of each other alive; that pins no object, and
// ends with one of their sessions, or when one of them reaches the owner.
package lease
