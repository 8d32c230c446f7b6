import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.InputStreamReader;
import java.io.ObjectInputStream;
import java.lang.management.ManagementFactory;
import java.rmi.server.UnicastRemoteObject;
import java.util.Arrays;
import java.util.Base64;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;

/** Does what each line of its standard input asks for, as clientRole in process.go. */
public class Client {
    interface Call {
        void make() throws Exception;
    }

    static class Target implements Pinged {
        public void ping() {}
    }

    static final int LENGTH = 100, DEPTH = 4;

    static void check(boolean ok) throws Exception {
        if (!ok) throw new Exception("the answer is wrong");
    }

    static TreeMap<String, Call> calls(Bench b) throws Exception {
        TreeMap<String, Call> calls = new TreeMap<>();
        Rec rec = new Rec();
        Target target = new Target();
        UnicastRemoteObject.exportObject(target, 0);
        Call export = () -> {
            Target t = new Target();
            UnicastRemoteObject.exportObject(t, 0);
            UnicastRemoteObject.unexportObject(t, true);
        };
        calls.put("null", b::nothing);
        calls.put("echo100", () -> check(b.echo(rec).id == rec.id));
        int[] sizes = {1 << 10, 64 << 10, 1 << 20};
        String[] names = {"echo1k", "echo64k", "echo1m"};
        for (int i = 0; i < sizes.length; i++) {
            byte[] body = new byte[sizes[i]];
            calls.put(names[i], () -> check(b.echoBytes(body).length == body.length));
        }
        calls.put("callback", () -> b.callBack(target));
        calls.put("reference", () -> {
            Target t = new Target();
            UnicastRemoteObject.exportObject(t, 0);
            b.drop(t);
        });
        calls.put("export", export);

        calls.put("jdk null", b::nothing);
        calls.put("jdk boolean", () -> check(b.echo(true)));
        calls.put("jdk byte", () -> check(b.echo((byte) 1) == 1));
        calls.put("jdk char", () -> check(b.echo('c') == 'c'));
        calls.put("jdk short", () -> check(b.echo((short) 300) == 300));
        calls.put("jdk int", () -> check(b.echo(70_000) == 70_000));
        calls.put("jdk long", () -> check(b.echo(5_000_000_000L) == 5_000_000_000L));
        calls.put("jdk float", () -> check(b.echo(1.5f) == 1.5f));
        calls.put("jdk double", () -> check(b.echo(3.14) == 3.14));
        boolean[] booleans = new boolean[LENGTH];
        Arrays.fill(booleans, true);
        byte[] bytes = new byte[LENGTH];
        Arrays.fill(bytes, (byte) 1);
        char[] chars = new char[LENGTH];
        Arrays.fill(chars, 'c');
        short[] shorts = new short[LENGTH];
        Arrays.fill(shorts, (short) 300);
        int[] ints = new int[LENGTH];
        Arrays.fill(ints, 70_000);
        long[] longs = new long[LENGTH];
        Arrays.fill(longs, 5_000_000_000L);
        float[] floats = new float[LENGTH];
        Arrays.fill(floats, 1.5f);
        double[] doubles = new double[LENGTH];
        Arrays.fill(doubles, 3.14);
        calls.put("jdk boolean[]", () -> check(b.echo(booleans)[LENGTH - 1]));
        calls.put("jdk byte[]", () -> check(b.echoBytes(bytes)[LENGTH - 1] == 1));
        calls.put("jdk char[]", () -> check(b.echo(chars)[LENGTH - 1] == 'c'));
        calls.put("jdk short[]", () -> check(b.echo(shorts)[LENGTH - 1] == 300));
        calls.put("jdk int[]", () -> check(b.echo(ints)[LENGTH - 1] == 70_000));
        calls.put("jdk long[]", () -> check(b.echo(longs)[LENGTH - 1] == 5_000_000_000L));
        calls.put("jdk float[]", () -> check(b.echo(floats)[LENGTH - 1] == 1.5f));
        calls.put("jdk double[]", () -> check(b.echo(doubles)[LENGTH - 1] == 3.14));
        Small small = Small.tree(DEPTH);
        Mixed mixed = Mixed.tree(DEPTH);
        calls.put("jdk small tree", () -> check(b.echo(small).left.right != null));
        calls.put("jdk mixed tree", () -> check(b.echo(mixed).left.right.d == 3.14));
        Mixed[] nodes = new Mixed[LENGTH];
        Pinged[] targets = new Pinged[LENGTH];
        for (int i = 0; i < LENGTH; i++) {
            nodes[i] = new Mixed();
            targets[i] = new Target();
            UnicastRemoteObject.exportObject(targets[i], 0);
        }
        calls.put("jdk mixed nodes", () -> check(b.echo(nodes)[LENGTH - 1].d == 3.14));
        calls.put("jdk references", () -> check(b.echo(targets)[LENGTH - 1] != null));
        calls.put("jdk exception", () -> {
            try {
                b.fail();
            } catch (Thrown t) {
                return;
            }
            check(false);
        });
        calls.put("jdk export", export);
        return calls;
    }

    /** As in histogram.go. */
    static class Histogram {
        final long[] buckets = new long[36 * 32];

        void add(long n) {
            int i = (int) n;
            if (n >= 32) {
                int e = 64 - Long.numberOfLeadingZeros(n) - 6;
                i = Math.min(e * 32 + (int) (n >> e), buckets.length - 1);
            }
            buckets[i]++;
        }
    }

    static String measure(Call call, int callers, long nanos) throws Exception {
        com.sun.management.OperatingSystemMXBean system =
            (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        Histogram[] latencies = new Histogram[callers];
        Thread[] threads = new Thread[callers];
        String[] error = new String[1];
        CountDownLatch go = new CountDownLatch(1);
        long[] until = new long[1];
        for (int k = 0; k < callers; k++) {
            Histogram h = latencies[k] = new Histogram();
            threads[k] = new Thread(null, () -> {
                try {
                    go.await();
                    long t = System.nanoTime();
                    do {
                        call.make();
                        long now = System.nanoTime();
                        h.add(now - t);
                        t = now;
                    } while (t < until[0]);
                } catch (Throwable e) {
                    synchronized (error) { error[0] = e.toString(); }
                }
            }, "caller", 256 << 10);
            threads[k].start();
        }
        long cpu = system.getProcessCpuTime(), start = System.nanoTime();
        until[0] = start + nanos;
        go.countDown();
        for (Thread t : threads) t.join();
        long took = System.nanoTime() - start;
        cpu = system.getProcessCpuTime() - cpu;
        long total = 0;
        StringBuilder out = new StringBuilder();
        for (int i = 0; i < latencies[0].buckets.length; i++) {
            long n = 0;
            for (Histogram h : latencies) n += h.buckets[i];
            total += n;
            if (n > 0) out.append(out.length() > 0 ? "," : "").append("[").append(i).append(",").append(n).append("]");
        }
        String failed = error[0] == null ? "" : error[0].replaceAll("[^ -~]|[\"\\\\]", " ");
        return "{\"calls\":" + total + ",\"nanos\":" + took + ",\"allocs\":-1,\"cpu\":" + cpu
            + ",\"buckets\":[" + out + "],\"error\":\"" + failed + "\"}";
    }

    public static void main(String[] args) throws Exception {
        Bench bench;
        try (ObjectInputStream in = new ObjectInputStream(new ByteArrayInputStream(Base64.getDecoder().decode(args[0])))) {
            bench = (Bench) in.readObject();
        }
        TreeMap<String, Call> calls = calls(bench);
        System.out.println(String.join(",", calls.keySet()));
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = in.readLine()) != null;) {
            String[] fields = line.split("\t");
            System.out.println(measure(calls.get(fields[0]), Integer.parseInt(fields[1]), Long.parseLong(fields[2])));
        }
        System.exit(0);
    }
}
