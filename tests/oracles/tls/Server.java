// A TLS server with many doors that lives on what Java still knows: SSL 3.0, RC4, DES, EXPORT, NULL, anonymous, DSA.
//
// java Server.java PASSWORD, and on standard input one door per line, ended by an empty one:
//     address port store.p12[,store.p12...] protocol[,protocol...] suite[,suite...]|ALL|DEFAULT
// Prints "ready" once all doors are open.

import java.io.BufferedReader;
import java.io.FileInputStream;
import java.io.InputStreamReader;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.Socket;
import java.security.KeyStore;
import java.security.Security;
import java.util.Collections;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLServerSocket;

public class Server {
    private static final byte[] PAGE = ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n").getBytes();
    private static final int PATIENCE = 10_000;

    public static void main(String[] words) throws Exception {
        for (String name : new String[] {"jdk.tls.disabledAlgorithms", "jdk.tls.legacyAlgorithms", "jdk.certpath.disabledAlgorithms"}) {
            Security.setProperty(name, "");
        }
        ExecutorService pool = Executors.newCachedThreadPool();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line = lines.readLine(); line != null && !line.isEmpty(); line = lines.readLine()) {
            SSLServerSocket door = open(line.split(" "), words[0].toCharArray());
            pool.submit(() -> serve(door, pool));
        }
        System.out.println("ready");
        System.out.flush();
    }

    private static SSLServerSocket open(String[] door, char[] password) throws Exception {
        KeyManagerFactory keys = KeyManagerFactory.getInstance("SunX509"); // decrypts the keys once, not in each handshake
        keys.init(stores(door[2].split(","), password), password);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), null, null);
        SSLServerSocket socket = (SSLServerSocket) context.getServerSocketFactory()
            .createServerSocket(Integer.parseInt(door[1]), 100, InetAddress.getByName(door[0]));
        socket.setEnabledProtocols(door[3].split(","));
        if (door[4].equals("ALL")) {
            socket.setEnabledCipherSuites(socket.getSupportedCipherSuites());
        } else if (!door[4].equals("DEFAULT")) {
            socket.setEnabledCipherSuites(door[4].split(","));
        }
        return socket;
    }

    private static KeyStore stores(String[] paths, char[] password) throws Exception {
        KeyStore all = KeyStore.getInstance("PKCS12");
        all.load(null, password);
        for (String path : paths) {
            KeyStore store = KeyStore.getInstance("PKCS12");
            try (FileInputStream file = new FileInputStream(path)) {
                store.load(file, password);
            }
            for (String alias : Collections.list(store.aliases())) {
                all.setKeyEntry(alias, store.getKey(alias, password), password, store.getCertificateChain(alias));
            }
        }
        return all;
    }

    private static void serve(SSLServerSocket door, ExecutorService pool) {
        while (true) {
            try {
                Socket met = door.accept();
                pool.submit(() -> answer(met));
            } catch (IOException gone) {
                return;
            }
        }
    }

    private static void answer(Socket met) {
        try (Socket socket = met) {
            socket.setSoTimeout(PATIENCE);
            socket.setTcpNoDelay(true);
            socket.getInputStream().read(new byte[4096]);
            OutputStream out = socket.getOutputStream();
            out.write(PAGE);
            out.flush();
        } catch (IOException expected) {
            // A client that only wanted to hear our hello.
        }
    }
}
