import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.file.Files;

public class Shout {
    public static void main(String[] args) throws Exception {
        var address = UnixDomainSocketAddress.of("socket");
        Files.deleteIfExists(address.getPath());
        try (var server = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
            server.bind(address);
            System.out.println("serves");
            while (true) {
                try (var client = server.accept()) {
                    client.write(ByteBuffer.wrap("HELLO\n".getBytes()));
                }
            }
        }
    }
}
