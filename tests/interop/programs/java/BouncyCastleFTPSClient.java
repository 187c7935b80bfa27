// recipe
import java.net.Socket;
import javax.net.ssl.SSLContext;
import org.apache.commons.net.ftp.FTPSClient;
import org.bouncycastle.jsse.BCSSLSocket;

/** With Bouncy Castle's TLS (bctls), which can be told what session to resume. */
public class BouncyCastleFTPSClient extends FTPSClient {
    /** {@code context} is of {@code new BouncyCastleJsseProvider(new BouncyCastleProvider())}. */
    public BouncyCastleFTPSClient(SSLContext context) {
        super(false, context);
        setEnabledProtocols(new String[] {"TLSv1.2"});
    }

    @Override
    protected void _prepareDataSocket_(Socket data) {
        if (data instanceof BCSSLSocket) {
            BCSSLSocket control = (BCSSLSocket) _socket_;
            ((BCSSLSocket) data).setBCSessionToResume(control.getConnection().getSession());
        }
    }
}
// end of recipe
