import java.io.Serializable;
import java.rmi.Remote;
import java.rmi.RemoteException;

/** What client and server have in common, as in internal/data and internal/reflected. */
interface Pinged extends Remote {
    void ping() throws RemoteException;
}

interface Bench extends Remote {
    void nothing() throws RemoteException;
    Rec echo(Rec r) throws RemoteException;
    byte[] echoBytes(byte[] b) throws RemoteException;
    void callBack(Pinged p) throws RemoteException;
    void drop(Pinged p) throws RemoteException;

    boolean echo(boolean v) throws RemoteException;
    byte echo(byte v) throws RemoteException;
    char echo(char v) throws RemoteException;
    short echo(short v) throws RemoteException;
    int echo(int v) throws RemoteException;
    long echo(long v) throws RemoteException;
    float echo(float v) throws RemoteException;
    double echo(double v) throws RemoteException;
    boolean[] echo(boolean[] v) throws RemoteException;
    char[] echo(char[] v) throws RemoteException;
    short[] echo(short[] v) throws RemoteException;
    int[] echo(int[] v) throws RemoteException;
    long[] echo(long[] v) throws RemoteException;
    float[] echo(float[] v) throws RemoteException;
    double[] echo(double[] v) throws RemoteException;
    Small echo(Small t) throws RemoteException;
    Mixed echo(Mixed t) throws RemoteException;
    Mixed[] echo(Mixed[] v) throws RemoteException;
    Pinged[] echo(Pinged[] v) throws RemoteException;
    void fail() throws RemoteException, Thrown;
}

/** The record, about 100 bytes. */
class Rec implements Serializable {
    private static final long serialVersionUID = 1;
    long id = 42;
    String name = "n".repeat(32);
    String[] tags = {"a".repeat(16), "b".repeat(16)};
    double value = 3.14;
}

/** A node of a tree and nothing else. */
class Small implements Serializable {
    private static final long serialVersionUID = 1;
    Small left, right;

    static Small tree(int depth) {
        Small s = new Small();
        if (depth > 0) {
            s.left = tree(depth - 1);
            s.right = tree(depth - 1);
        }
        return s;
    }
}

/** A node with a field of each kind. */
class Mixed implements Serializable {
    private static final long serialVersionUID = 1;
    boolean z = true;
    byte b = 1;
    char c = 'c';
    short s = 300;
    int i = 70_000;
    long j = 5_000_000_000L;
    float f = 1.5f;
    double d = 3.14;
    String text = "some text";
    Mixed left, right;

    static Mixed tree(int depth) {
        Mixed m = new Mixed();
        if (depth > 0) {
            m.left = tree(depth - 1);
            m.right = tree(depth - 1);
        }
        return m;
    }
}

class Thrown extends Exception {
    private static final long serialVersionUID = 1;
    Thrown() { super("thrown"); }
}
