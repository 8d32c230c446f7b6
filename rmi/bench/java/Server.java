import java.io.ByteArrayOutputStream;
import java.io.ObjectOutputStream;
import java.rmi.RemoteException;
import java.rmi.server.UnicastRemoteObject;
import java.util.Base64;

/** Prints the stub of its object, and serves until its standard input ends. */
public class Server implements Bench {
    public void nothing() {}
    public Rec echo(Rec r) { return r; }
    public byte[] echoBytes(byte[] b) { return b; }
    public void callBack(Pinged p) throws RemoteException { p.ping(); }
    public void drop(Pinged p) {}
    public boolean echo(boolean v) { return v; }
    public byte echo(byte v) { return v; }
    public char echo(char v) { return v; }
    public short echo(short v) { return v; }
    public int echo(int v) { return v; }
    public long echo(long v) { return v; }
    public float echo(float v) { return v; }
    public double echo(double v) { return v; }
    public boolean[] echo(boolean[] v) { return v; }
    public char[] echo(char[] v) { return v; }
    public short[] echo(short[] v) { return v; }
    public int[] echo(int[] v) { return v; }
    public long[] echo(long[] v) { return v; }
    public float[] echo(float[] v) { return v; }
    public double[] echo(double[] v) { return v; }
    public Small echo(Small t) { return t; }
    public Mixed echo(Mixed t) { return t; }
    public Mixed[] echo(Mixed[] v) { return v; }
    public Pinged[] echo(Pinged[] v) { return v; }
    public void fail() throws Thrown { throw new Thrown(); }

    private static final Server server = new Server(); // exported objects are collected like others

    public static void main(String[] args) throws Exception {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (ObjectOutputStream out = new ObjectOutputStream(bytes)) {
            out.writeObject(UnicastRemoteObject.exportObject(server, 0));
        }
        System.out.println(Base64.getEncoder().encodeToString(bytes.toByteArray()));
        while (System.in.read() >= 0) {}
        System.exit(0);
    }
}
