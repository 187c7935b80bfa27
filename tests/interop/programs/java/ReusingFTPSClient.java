// recipe
import java.io.IOException;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.net.InetAddress;
import java.net.Socket;
import java.util.Locale;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSession;
import javax.net.ssl.SSLSocket;
import org.apache.commons.net.ftp.FTPSClient;

/**
 * Java's TLS looks for a session to resume under the host and port that it connects to. Every data
 * channel has a port of its own, so the control channel's session is entered under that one too.
 */
public class ReusingFTPSClient extends FTPSClient {
    public ReusingFTPSClient(SSLContext context) {
        super(false, context);
        setEnabledProtocols(new String[] {"TLSv1.2"});
        setEndpointCheckingEnabled(true);
    }

    @Override
    protected void _prepareDataSocket_(Socket data) throws IOException {
        if (!(data instanceof SSLSocket)) {
            return;
        }
        SSLSession session = ((SSLSocket) _socket_).getSession();
        InetAddress server = data.getInetAddress();
        try {
            Object sessions = session.getSessionContext();
            Field field = sessions.getClass().getDeclaredField("sessionHostPortCache");
            field.setAccessible(true);
            Object cache = field.get(sessions);
            Method put = cache.getClass().getMethod("put", Object.class, Object.class);
            put.setAccessible(true);
            for (String host : new String[] {server.getHostName(), server.getHostAddress()}) {
                put.invoke(cache, (host + ":" + data.getPort()).toLowerCase(Locale.ROOT), session);
            }
        } catch (ReflectiveOperationException e) {
            throw new IOException("start Java with the two --add-opens", e);
        }
    }
}
// end of recipe
