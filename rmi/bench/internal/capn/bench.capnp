# The methods of the benchmark for Cap'n Proto. Regenerate with ../gen.sh.
@0xb5d1f3a27c4e9061;
using Go = import "/go.capnp";
$Go.package("capn");
$Go.import("gormi/rmi/bench/internal/capn");

struct Record {
  id @0 :Int64;
  name @1 :Text;
  tags @2 :List(Text);
  value @3 :Float64;
}

interface Object {
  ping @0 ();
}

interface Bench {
  null @0 ();
  echo @1 (r :Record) -> (r :Record);
  echoBytes @2 (b :Data) -> (b :Data);
  callBack @3 (o :Object);  # calls o.ping before it returns
  drop @4 (o :Object);
}
