import java.io.File;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import javax.net.ssl.SSLContext;
import org.apache.commons.net.ftp.FTP;
import org.apache.commons.net.ftp.FTPFile;
import org.apache.commons.net.ftp.FTPSClient;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.jsse.provider.BouncyCastleJsseProvider;

/** Apache Commons Net: Deliver RECIPE VERB ARGUMENT... */
public final class Deliver {
    private static String recipe;
    private static SSLContext context;

    // recipe
    static FTPSClient connect(FTPSClient ftp) throws IOException {
        ftp.connect(System.getenv("FTPS_HOST"), Integer.parseInt(System.getenv("FTPS_PORT")));
        check(ftp, ftp.login(System.getenv("FTPS_USER"), System.getenv("FTPS_PASSWORD")));
        ftp.execPBSZ(0);
        ftp.execPROT("P");
        ftp.enterLocalPassiveMode();
        check(ftp, ftp.setFileType(FTP.BINARY_FILE_TYPE)); // the default is ASCII
        return ftp;
    }

    /** What a method did not do is in the reply, and in nothing else. */
    static void check(FTPSClient ftp, boolean done) throws IOException {
        if (!done) {
            throw new IOException(ftp.getReplyString());
        }
    }

    static void put(FTPSClient ftp, String local, String remote) throws IOException {
        try (InputStream file = new FileInputStream(local)) {
            check(ftp, ftp.storeFile(remote, file));
        }
    }

    static void resume(FTPSClient ftp, String local, String remote) throws IOException {
        check(ftp, ftp.sendCommand("SIZE", remote) == 213);
        long offset = Long.parseLong(ftp.getReplyString().trim().split(" ")[1]);
        try (InputStream file = new FileInputStream(local)) {
            file.skipNBytes(offset);
            ftp.setRestartOffset(offset);
            check(ftp, ftp.storeFile(remote, file));
        }
    }

    static FTPFile[] list(FTPSClient ftp, String remote) throws IOException {
        FTPFile[] files = ftp.listFiles(remote);
        check(ftp, ftp.getReplyCode() == 226); // a refused listing is empty, without an exception
        return files;
    }

    /** The digest of what is stored, where the account may read. */
    static String hash(FTPSClient ftp, String remote) throws IOException {
        check(ftp, ftp.sendCommand("HASH", remote) == 213);
        return ftp.getReplyString().split(" ")[3];
    }
    // end of recipe

    private static FTPSClient session() throws IOException {
        FTPSClient ftp;
        if (recipe.equals("reflection")) {
            ftp = new ReusingFTPSClient(context);
        } else if (recipe.equals("bouncy-castle")) {
            ftp = new BouncyCastleFTPSClient(context);
        } else {
            ftp = new FTPSClient(false, context);
        }
        ftp.setDefaultTimeout(30000);
        ftp.setDataTimeout(java.time.Duration.ofSeconds(30));
        return connect(ftp);
    }

    /** Every step-th file of a directory, in one session. */
    private static void some(String directory, String remote, int first, int step) throws IOException {
        FTPSClient ftp = session();
        File[] files = new File(directory).listFiles();
        Arrays.sort(files);
        for (int n = first; n < files.length; n += step) {
            put(ftp, files[n].getPath(), remote + "/" + files[n].getName());
        }
        ftp.logout();
    }

    private static void four(String directory, String remote) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(4);
        List<Future<Void>> sessions = new ArrayList<>();
        for (int n = 0; n < 4; n++) {
            int first = n;
            sessions.add(pool.submit(() -> {
                some(directory, remote, first, 4);
                return null;
            }));
        }
        pool.shutdown();
        for (Future<Void> session : sessions) {
            session.get();
        }
    }

    public static void main(String[] arguments) {
        try {
            run(arguments);
        } catch (Exception e) {
            System.err.println(e);
            System.exit(1);
        }
    }

    private static void run(String[] arguments) throws Exception {
        recipe = arguments[0];
        String verb = arguments[1];
        String one = arguments.length > 2 ? arguments[2] : "";
        String two = arguments.length > 3 ? arguments[3] : "";
        if (verb.equals("version")) {
            System.out.println("commons-net " + FTPSClient.class.getPackage().getImplementationVersion()
                + (recipe.equals("bouncy-castle") ? ", " + new BouncyCastleJsseProvider().getInfo() : "")
                + ", Java " + System.getProperty("java.version"));
            return;
        }
        context = recipe.equals("bouncy-castle")
            ? Trust.in(System.getenv("FTPS_CA"), SSLContext.getInstance("TLS", new BouncyCastleJsseProvider(new BouncyCastleProvider())), "PKIX")
            : Trust.in(System.getenv("FTPS_CA"), SSLContext.getInstance("TLS"), "PKIX");
        if (verb.equals("puts")) {
            some(one, two, 0, 1);
            return;
        } else if (verb.equals("four")) {
            four(one, two);
            return;
        }
        FTPSClient ftp = session();
        switch (verb) {
            case "put":
                put(ftp, one, two);
                break;
            case "resume":
                resume(ftp, one, two);
                break;
            case "hash":
                System.out.println(hash(ftp, one));
                break;
            case "ascii":
                check(ftp, ftp.setFileType(FTP.ASCII_FILE_TYPE));
                put(ftp, one, two);
                break;
            case "get":
                try (OutputStream file = new FileOutputStream(two)) {
                    check(ftp, ftp.retrieveFile(one, file));
                }
                break;
            case "list":
                for (FTPFile file : list(ftp, one)) {
                    System.out.println(file.getName());
                }
                break;
            case "rename":
                check(ftp, ftp.rename(one, two));
                break;
            case "delete":
                check(ftp, ftp.deleteFile(one));
                break;
            default:
                System.exit(64);
        }
        ftp.logout();
    }
}
