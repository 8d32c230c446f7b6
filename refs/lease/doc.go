// Package lease counts references. Grants are the references that an owner gave out to its objects.
// A Holder is what a node holds of others' objects. Nothing here does I/O, starts a goroutine or
// waits. Package rmi sends what the tables say.
//
// The design is that of Network Objects (Birrell, Evers, Nelson, Owicki, Wobber: Distributed
// Garbage Collection for Network Objects, 1993), but with counts per session in place of sets. A
// count needs no message when a reference is given, only when it is given back.
//
// # What is promised
//
//  1. An object is not collected while a live node holds a reference to it. The node must have got
//     the reference from the owner, or from a node that held one, and not have given it back.
//  2. The object can be collected once nobody holds one. That is at the latest when what was given
//     back has arrived. For holders that vanished, it is one lease after their sessions were cut.
//     For holders that handed the reference on and then closed, it is one lease after they closed.
//
// A session is the lease. A session survives its connection for the time of a lease, because it can
// be resumed. When it is over for good, all that was given on it counts as given back. There is no
// other message that renews a hold and could be lost.
//
// # Who counts what
//
// Each entry of a frame's table of references is one reference given to the frame's receiver,
// whatever becomes of the frame's body. The exception is a well-known object without node. The
// sender counts the entry when it encodes it. It takes the count back if the frame was never taken
// in. The receiver counts the entry when it reads the table:
//
//	the sender is the owner     Grants[session][object] = given - given back
//	the sender is not           Holder.handed[session][object] = handed on - given back,
//	                            a pin of the sender's own hold
//	the receiver                Holder.from[session] of the object's entry;
//	                            it keeps those of one session
//
// A reference that comes home to its owner counts like any other. The owner gives it back as soon
// as it was decoded. Until then its sender keeps its hold, so the object is still there when a
// frame that was long in coming is decoded. A node may hand on what it does not hold itself, as
// registries do. It counts that too. Otherwise, what a peer gives back for it could be taken for
// what the peer gives back for a later hand-on.
//
// An entry of a Holder lives while something here uses it:
//
//	pins   = proxies + packets + calls being relayed + offers (names that this node bound)
//	frames = tables being decoded that name it
//	handed = sessions that it was handed on to and that did not give it back
//
// When all are 0, what was received is given back to the node that it came from. So a received
// reference of which no proxy was made goes back in the next batch, without further action.
//
// A reference that became a plain value (refs.Ref) holds nothing. But who got the value may yet
// make a proxy of it. So if it outlasts its table, as results do, it is kept until it is pinned, or
// for 30 s to a minute (Keep, Taken). A registry is handed references and holds none: it gives them
// back and stores their bytes. So the node that binds a name keeps what is bound, for as long as
// the name is bound (rule W-152 of package wire). It pins an object of its own. It holds an object
// of another node itself.
//
// # Giving back and registering
//
// What is due on a session is sent in batches, one at a time, and numbered (Holder.Next, Done). A
// batch whose answer is late is sent again under its number. Intake takes a number in once. So lost
// and late answers neither take too much nor leave anything counted. Batches carry differences, so
// they may cross references on their way: what was given meanwhile is not in them.
//
// A node that got a reference from a third node registers with the owner once it has a session with
// the owner (Ask). The owner counts one for it (Dirty). Only then is the third node's count given
// back, and the third node keeps its hold until then. If the owner cannot be reached, because it
// listens nowhere, the third node stays in the middle and relays the calls.
//
// # When a node goes
//
// Say a reference came from a session whose connection is cut. Its receiver looks for the owners of
// what it holds through that session only. It does so while the session can still be resumed (Cut),
// because then the hold in the middle still stands. It does so again when the session is over
// (Gone). A node that closes in good order asks those whose references it handed on to keep them
// for one lease more (Linger). In that time the others can register.
//
// Cycles of objects across nodes are not collected. When an owner is lost, nodes that passed a
// reference to its object around may keep each other's entries alive. That pins no object. It ends
// with one of their sessions, or when one of the nodes reaches the owner.
package lease
